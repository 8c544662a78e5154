import errno
import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from project.engine import launch as module
from project.engine.errors import (
    BUG,
    DATA,
    DEVICE,
    INTERRUPTED,
    MEMORY,
    NOT_WRITTEN,
    OUTPUT,
    STOPPED,
    Ending,
    fail,
)
from project.engine.launch import Status, StopRequest, launch, resume_command, status

from rendered import SEVERAL

# Python warns of a fork where there are threads; this one does nothing but sleep
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
SIGNALS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGUSR1"):
    SIGNALS.append(signal.SIGUSR1)
CONFIG = {"batch_size": 64, "accumulate": 2, "amp": "none", "gradient_checkpointing": False}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run that has begun."""
    status.begin(tmp_path, CONFIG, 0)
    return tmp_path


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run_status.json").read_text())


def raises(error: BaseException) -> None:
    raise error


def code_of(main) -> object:
    with pytest.raises(SystemExit) as stopped:
        launch(main)
    return stopped.value.code


def test_a_run_that_is_done_leaves_0(folder):
    assert code_of(lambda: None) == 0
    assert read(folder)["state"] == "finished"


def test_a_failure_is_said_once_and_noted(folder, capsys):
    assert code_of(lambda: fail(DATA, "x.png: does not decode")) == DATA
    assert capsys.readouterr().err == "x.png: does not decode\n"
    assert (read(folder)["code"], read(folder)["reason"]) == (DATA, "x.png: does not decode")


@pytest.mark.parametrize(("given", "code"), [(None, 0), (0, 0), (2, 2), ("a line", "a line")])
def test_what_another_exit_means_stays(folder, given, code):
    assert code_of(lambda: raises(SystemExit(given))) == given
    assert read(folder)["code"] == code


def test_a_bug_keeps_its_traceback(folder):
    with pytest.raises(ZeroDivisionError):
        launch(lambda: print(1 / len("")))
    fields = read(folder)
    assert (fields["state"], fields["code"]) == ("failed", BUG)
    assert fields["reason"] == "ZeroDivisionError: division by zero"


def too_large() -> None:
    torch.empty(1 << 60)


@pytest.mark.parametrize(
    "main",
    [
        too_large,
        lambda: raises(MemoryError()),
        lambda: raises(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee")),
    ],
)
def test_too_little_memory_is_one_line_with_what_helps(folder, capsys, main):
    assert code_of(main) == MEMORY == 71
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--batch-size 64" in error and "--accumulate 4" in error
    assert read(folder)["reason"] + "\n" == error


def test_too_little_memory_before_the_run_is_known_is_one_line_too(capsys):
    assert code_of(too_large) == MEMORY
    assert "--batch-size" in capsys.readouterr().err


def test_a_full_disk_is_one_line_with_the_way_out(folder, capsys):
    assert code_of(lambda: raises(OSError(errno.ENOSPC, "No space left on device"))) == OUTPUT == 73
    error = capsys.readouterr().err
    assert "the disk is full" in error and "--run-dir" in error and error.count("\n") == 1


def test_another_runtime_error_is_a_bug(folder):
    with pytest.raises(RuntimeError):
        launch(lambda: raises(RuntimeError("shapes do not match")))
    assert read(folder)["code"] == BUG


def test_an_interrupt_ends_without_a_traceback(folder, capsys):
    assert code_of(lambda: raises(KeyboardInterrupt())) == INTERRUPTED == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_lost_process_is_one_line(folder, monkeypatch, capsys):
    monkeypatch.setattr(module, "lost", lambda error: "another process is gone")
    assert code_of(lambda: raises(RuntimeError("connection reset"))) == DEVICE
    assert capsys.readouterr().err == "another process is gone\n"


def sleep() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


@pytest.mark.parametrize("error", [None, MemoryError(), ZeroDivisionError()])
def test_no_process_is_left_behind(error):
    child = multiprocessing.Process(target=sleep, daemon=True)

    def main() -> None:
        child.start()
        if error:
            raise error

    try:
        with pytest.raises((SystemExit, ZeroDivisionError)):
            launch(main)
        assert not child.is_alive()
    finally:
        child.kill()


SCRIPT = """
import sys, time
from pathlib import Path
from project.engine.errors import needs_reader
from project.engine.launch import launch

def train():
    needs_reader.clear()  # as open_run does
    for step in range(9):
        print(step, flush=True)
        print(step, flush=True, file=sys.stderr)
    Path(sys.argv[1]).write_text("done")

launch(lambda: {call})
"""


def start(call: str, path: Path = Path(), **how: Any) -> subprocess.Popen:
    """Start a script that does this, such as train(), which writes the path at its end."""
    command = [sys.executable, "-c", SCRIPT.replace("{call}", call), str(path)]
    return subprocess.Popen(command, cwd=SEVERAL, **how)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
@pytest.mark.parametrize("rows", [3, 100_000])
def test_a_script_ends_without_a_word_when_its_reader_has_seen_enough(rows):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(f"[print(row) for row in range({rows})]", **pipes) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_training_goes_on_when_its_reader_is_gone(tmp_path, stream):
    reading, writing = os.pipe()
    os.close(reading)
    with start("train()", tmp_path / "done", **{stream: writing}) as process:
        os.close(writing)
        assert process.wait() == 0 and (tmp_path / "done").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("code", [0, DATA])
def test_a_full_disk_under_the_log_ends_nothing(tmp_path, code):
    with open("/dev/full", "w") as full:
        how = {"stdout": full, "stderr": full}
        with start(f"(train(), sys.exit({code}))", tmp_path / "done", **how) as process:
            assert process.wait() == code and (tmp_path / "done").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_a_terminal_that_is_gone_ends_nothing(tmp_path):
    mine, theirs = os.openpty()
    how = {"stdout": theirs, "stderr": theirs, "start_new_session": True}
    with start("(time.sleep(1), train())", tmp_path / "done", **how) as process:
        os.close(theirs)
        os.close(mine)
        assert process.wait() == 0 and (tmp_path / "done").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes them")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_end_nothing(tmp_path, closed):
    line = f'exec "$0" -c "$1" "$2" {closed}'
    program = SCRIPT.replace("{call}", "train()")
    command = ["sh", "-c", line, sys.executable, program, str(tmp_path / "done")]
    assert subprocess.run(command, cwd=SEVERAL, check=False).returncode == 0
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("letter", ["\u00e9", "\udce9"])
def test_letters_that_the_terminal_lacks_are_shown_as_their_codes(letter):
    surroundings = os.environ | {"PYTHONIOENCODING": "ascii"}
    how = {"stdout": subprocess.PIPE, "env": surroundings, "text": True}
    with start(f"print({ascii(letter)})", **how) as process:
        output, _ = process.communicate()
        assert (process.returncode, output.strip()) == (0, ascii(letter).strip("'"))


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_sets_the_request_and_nothing_else(number):
    stop = StopRequest()
    assert not stop.asked()
    stop.leave_if_asked(1)
    signal.raise_signal(number)
    assert stop.asked()


@pytest.mark.parametrize("number", SIGNALS)
def test_the_run_leaves_with_the_code_for_again_and_says_how(capsys, number):
    stop = StopRequest()
    signal.raise_signal(number)
    with pytest.raises(Ending) as stopped:
        stop.leave_if_asked(7)
    assert stopped.value.code == STOPPED == 75 and stopped.value.reason == number.name
    output = capsys.readouterr().out
    assert "step 7" in output and "--resume auto" in output and output.count("\n") == 1


def test_a_second_ctrl_c_ends_at_once():
    StopRequest()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_second_sigterm_does_not():
    stop = StopRequest()
    for _ in range(2):
        signal.raise_signal(signal.SIGTERM)
    assert stop.asked()


@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"])
def test_what_a_scheduler_or_torchrun_repeats_is_one_request(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    stop = StopRequest()
    for _ in range(2):
        signal.raise_signal(signal.SIGINT)
    assert stop.asked()


def test_what_another_process_heard_counts_too(monkeypatch):
    monkeypatch.setattr(module, "any_process", lambda flag: True)
    stop = StopRequest()
    assert stop.asked()
    with pytest.raises(Ending, match="75") as stopped:
        stop.leave_if_asked(1)
    assert "another process" in stopped.value.reason


def test_the_time_limit_ends_the_run_when_it_is_over(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stop = StopRequest(deadline=160.0)
    assert not stop.asked()
    now = 160.5
    assert stop.asked()
    with pytest.raises(Ending) as stopped:
        stop.leave_if_asked(3)
    assert stopped.value.reason == "--time-limit"


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_clock_that_is_set_ends_nothing(monkeypatch, jump):
    stop = StopRequest(deadline=time.monotonic() + 600)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    assert not stop.asked()


def test_a_stop_is_no_excuse_for_a_save_that_failed(capsys):
    stop = StopRequest()
    status.not_saved(4, "no space")
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Ending, match="74"):
        stop.leave_if_asked(4)
    assert "step 4" in capsys.readouterr().err


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Status:
    """The status of a run that has begun."""
    monkeypatch.setattr(sys, "argv", ["train.py", "--lr", "0.1"])
    status = Status()
    status.begin(tmp_path, {"lr": 0.1}, 0)
    return status


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


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00"])
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
    given = ["train.py", "--lr", "0.1", "--freeze", "stem.*"]
    again = ["--run-dir", name, "--resume", "auto"]
    for _ in range(3):  # typed again and again
        monkeypatch.setattr(sys, "argv", given)
        words = shlex.split(resume_command(Path(name)))
        assert words == ["python", *given[:5], *again]
        given = words[1:]


def test_several_processes_are_resumed_by_as_many(monkeypatch):
    monkeypatch.setattr(module, "world_size", lambda: 2)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    start = "torchrun --standalone --nproc-per-node=2 train.py"
    assert resume_command(Path("here")) == f"{start} --run-dir here --resume auto"


def test_no_password_of_an_address_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--data", "https://me:pa55@host/a"])
    status.begin(tmp_path, CONFIG, 0)
    with pytest.raises(ConnectionError):
        launch(lambda: raises(ConnectionError("http://me:pa55@host:5000 does not answer")))
    text = (tmp_path / "run_status.json").read_text()
    assert "pa55" not in text and "//***@host:5000 does" in text and "//***@host/a" in text
