import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from project.engine import status as module
from project.engine.errors import BUG, DATA, NOT_WRITTEN, STOPPED
from project.engine.status import Status, resume_command


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Status:
    """The status of a run that has begun."""
    monkeypatch.setattr(sys, "argv", ["train.py", "--lr", "0.1"])
    status = Status()
    status.begin(tmp_path, {"lr": 0.1}, 0)
    return status


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run_status.json").read_text())


def test_before_the_run_has_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Status().end(DATA, "no such file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "state"), [(0, "finished"), (STOPPED, "stopped"), (BUG, "failed"), (DATA, "failed")]
)
def test_the_status_follows_the_run(tmp_path, begun, code, state):
    fields = read(tmp_path)
    assert (fields["state"], fields["saved_step"], fields["code"]) == ("running", 0, None)
    begun.saved(5)
    assert (read(tmp_path)["state"], read(tmp_path)["saved_step"]) == ("running", 5)
    begun.end(code, "a reason")
    fields = read(tmp_path)
    assert (fields["state"], fields["code"], fields["reason"]) == (state, code, "a reason")
    assert fields["saved_step"] == 5


def test_the_first_failure_stays(tmp_path, begun):
    other = Status()
    other.begin(tmp_path, {}, 0)
    begun.end(DATA, "the reason")
    other.end(BUG, "what followed from it")
    assert read(tmp_path)["reason"] == "the reason"


def test_what_ended_is_over(tmp_path, begun):
    begun.end(0, None)
    begun.saved(9)
    begun.end(BUG, "at exit")
    assert read(tmp_path)["state"] == "finished" and read(tmp_path)["saved_step"] == 0


@pytest.mark.parametrize(("code", "lines"), [(None, 1), (0, 0), (STOPPED, 0), (DATA, 0)])
def test_a_run_whose_process_was_killed_is_told(tmp_path, begun, capsys, code, lines):
    if code is not None:
        begun.end(code, None)
    Status().begin(tmp_path, {}, 0)
    assert capsys.readouterr().out.count("killed") == lines


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_a_damaged_status_is_no_reason_to_end(tmp_path, text):
    (tmp_path / "run_status.json").write_text(text)
    status = Status()
    status.begin(tmp_path, {}, 0)
    (tmp_path / "run_status.json").write_text(text)
    status.end(0, None)
    assert read(tmp_path)["state"] == "finished"


def test_another_process_writes_only_that_it_failed(tmp_path, begun, monkeypatch):
    begun.saved(5)
    monkeypatch.setattr(module, "is_main_process", lambda: False)
    other = Status()
    other.begin(tmp_path, {}, 0)
    other.end(0, None)
    assert read(tmp_path)["state"] == "running"
    other.end(DATA, "a reason")
    assert (read(tmp_path)["state"], read(tmp_path)["saved_step"]) == ("failed", 5)


def test_a_status_that_cannot_be_written_ends_nothing(tmp_path, begun, monkeypatch):
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_text", full)
    begun.saved(5)
    begun.end(0, None)
    assert read(tmp_path)["saved_step"] == 0


def test_the_next_save_makes_a_failed_one_good(begun, capsys):
    begun.not_saved(4, "no space")
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as stopped:
        begun.fail_if_unsaved()
    assert stopped.value.code == NOT_WRITTEN == 74
    begun.saved(6)
    begun.fail_if_unsaved()


@pytest.mark.parametrize("name", ["here", "a folder", "it's", "$HOME"])
def test_the_resume_command_is_the_one_that_was_given_and_stays_so(monkeypatch, name):
    given = ["train.py", "--lr", "0.1", "--freeze", "stem.*", "--run-dir", name]
    for _ in range(3):  # typed again and again
        monkeypatch.setattr(sys, "argv", given)
        words = shlex.split(resume_command(Path(name)))
        again = ["--run-dir", name, "--resume", "auto"]
        assert words == ["python", *given[:5], *again]
        given = words[1:]


def test_several_processes_are_resumed_by_as_many(monkeypatch):
    monkeypatch.setattr(module, "world_size", lambda: 2)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    start = "torchrun --standalone --nproc-per-node=2 train.py"
    assert resume_command(Path("here")) == f"{start} --run-dir here --resume auto"


def test_the_resume_command_hides_secrets(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--api-key", "abc", "--hub-token=def"])
    command = resume_command(Path("here"))
    assert "abc" not in command and "def" not in command and "--api-key" in command
