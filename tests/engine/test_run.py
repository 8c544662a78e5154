import errno
import gc
import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from project.engine import options
from project.engine import run as module
from project.engine.checkpoint import Checkpoints
from project.engine.errors import DATA, MISMATCH, NOT_WRITTEN, OUTPUT
from project.engine.evaluate import Best
from project.engine.launch import status
from project.engine.run import Run, environment, lock, open_run
from project.engine.runtime import Precision
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset

from rendered import SEVERAL

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def arguments(**values) -> Namespace:
    """Return what a command line gives; that of the experiment is --lr."""
    options.add_device(options.new_parser(None), device="auto", amp="none")  # free to change
    places = {"config": None, "run_dir": None, "resume": None}
    default = places | {"dry_run": False, "lr": 0.1, "device": "auto", "time_limit": None}
    return Namespace(**default | values, defaults=default | {"new_flag": 0})


def train(run: Run, step: int) -> Path:
    """Leave what a run of so many steps leaves."""
    about = {"config": run.config, "model": {}, "data": {}}
    Checkpoints(run.folder, {"net": nn.Linear(2, 1)}, about, every=1, keep=3).save(step)
    return run.folder / "checkpoints" / f"step-{step}.pt"


def refused(capsys: pytest.CaptureFixture[str], **values) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        open_run(arguments(**values), CPU, "net")
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return int(stopped.value.code or 0), error


def test_a_new_run_has_a_folder_of_its_own_with_its_description():
    run = open_run(arguments(), CPU, "net")
    assert run.folder.parent == Path("runs").absolute() and run.folder.name.endswith("-net")
    config = (run.folder / "config.toml").read_text()
    assert config == 'dry-run = false\nlr = 0.1\ndevice = "auto"\n'
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == version("torch")
    assert {"command", "git_commit", "python", "device", "processes"} <= environment.keys()


def test_two_runs_of_one_second_do_not_share_a_folder():
    assert open_run(arguments(), CPU, "net").folder != open_run(arguments(), CPU, "net").folder


def test_auto_continues_the_newest_run():
    first, second = (open_run(arguments(run_dir=Path(f"runs/{name}")), CPU, "net") for name in "ab")
    newest, older = train(first, 3), train(second, 5)
    os.utime(older, (1, 1))
    run = open_run(arguments(resume="auto"), CPU, "net")
    assert run.checkpoint is not None and run.checkpoint["step"] == 3
    assert run.folder == first.folder and newest.exists()


def test_auto_begins_where_nothing_is():
    assert open_run(arguments(resume="auto"), CPU, "net").checkpoint is None
    run = open_run(arguments(resume="auto", run_dir=Path("here")), CPU, "net")
    assert run.checkpoint is None and run.folder == Path("here").absolute()


def test_auto_with_a_folder_continues_what_is_in_it():
    train(open_run(arguments(run_dir=Path("runs/newer")), CPU, "net"), 9)
    train(open_run(arguments(run_dir=Path("here")), CPU, "net"), 2)
    run = open_run(arguments(resume="auto", run_dir=Path("here")), CPU, "net")
    assert run.checkpoint is not None and run.checkpoint["step"] == 2


@pytest.mark.parametrize("whole", [True, False])
def test_resume_takes_a_file_or_a_run(whole):
    path = train(open_run(arguments(run_dir=Path("here")), CPU, "net"), 4)
    run = open_run(arguments(resume=str(path if whole else "here")), CPU, "net")
    assert run.checkpoint is not None and run.checkpoint["step"] == 4
    assert run.folder == Path("here").absolute()


def test_a_run_goes_on_from_an_earlier_step_and_keeps_the_later_ones(capsys):
    run = open_run(arguments(run_dir=Path("here")), CPU, "net")
    earlier, later = train(run, 2), train(run, 4)
    run = open_run(arguments(resume=str(earlier)), CPU, "net")
    assert run.checkpoint is not None and run.checkpoint["step"] == 2
    assert not later.exists() and later.with_name("step-4.pt.newer").exists()


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(capsys):
    run = open_run(arguments(run_dir=Path("here")), CPU, "net")
    train(run, 2)
    train(run, 4).write_bytes(b"half")
    run = open_run(arguments(run_dir=Path("here"), resume="auto"), CPU, "net")
    assert run.checkpoint is not None and run.checkpoint["step"] == 2
    assert capsys.readouterr().err.count("step-4.pt") == 1
    assert Path("here/checkpoints/step-4.pt.newer").exists()


def test_another_run_that_is_continued_elsewhere_is_left_as_it_is():
    run = open_run(arguments(run_dir=Path("here")), CPU, "net")
    train(run, 2)
    damaged = train(run, 4)
    damaged.write_bytes(b"half")
    before = sorted(path.name for path in Path("here").rglob("*"))
    run = open_run(arguments(run_dir=Path("there"), resume="here"), CPU, "net")
    assert run.folder == Path("there").absolute() and run.checkpoint is not None
    assert run.checkpoint["step"] == 2
    assert sorted(path.name for path in Path("here").rglob("*")) == before


def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_anew(capsys):
    run = open_run(arguments(run_dir=Path("here")), CPU, "net")
    train(run, 2).write_bytes(b"half")
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            open_run(arguments(run_dir=Path("here"), resume="auto"), CPU, "net")
        assert stopped.value.code == MISMATCH
        assert "no checkpoint is whole (step-2.pt" in capsys.readouterr().err


def test_what_a_killed_process_left_is_cleared():
    folder = open_run(arguments(run_dir=Path("here")), CPU, "net").folder
    draft = folder / "checkpoints" / "step-3.tmp"
    draft.write_bytes(b"half")
    open_run(arguments(run_dir=Path("here"), resume="auto"), CPU, "net")
    assert not draft.exists()


def test_a_folder_that_holds_a_run_is_left_as_it_is(capsys):
    run = open_run(arguments(run_dir=Path("here")), CPU, "net")
    train(run, 3)
    before = (run.folder / "config.toml").read_text()
    code, error = refused(capsys, run_dir=Path("here"), lr=0.5)
    assert code == OUTPUT == 73 and "--run-dir here" in error and "--resume auto" in error
    assert (run.folder / "config.toml").read_text() == before


def test_a_folder_whose_run_deleted_its_checkpoints_is_left_as_it_is(capsys):
    run = open_run(arguments(run_dir=Path("here")), CPU, "net")
    train(run, 3).unlink()
    code, error = refused(capsys, run_dir=Path("here"))
    assert code == OUTPUT and "holds a run" in error


def test_a_run_that_failed_before_its_first_checkpoint_begins_again():
    open_run(arguments(run_dir=Path("here")), CPU, "net")
    status.end(DATA, "a.png does not decode")
    run = open_run(arguments(run_dir=Path("here"), lr=0.5), CPU, "net")
    assert run.checkpoint is None and run.config["lr"] == 0.5
    assert "lr = 0.5" in (run.folder / "config.toml").read_text()


def finished(**values) -> dict[str, bytes]:
    """Return the files of a run that is over, in the folder here."""
    train(open_run(arguments(run_dir=Path("here"), **values), CPU, "net"), 3)
    status.end(0, None)
    return contents()


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path("here").rglob("*") if path.is_file()}


@pytest.mark.parametrize("resume", ["auto", "here", "here/checkpoints/step-3.pt"])
def test_a_run_that_is_finished_says_so_and_is_left_as_it_is(capsys, resume):
    before = finished(epochs=2)
    with pytest.raises(SystemExit) as stopped:
        open_run(arguments(run_dir=Path("here"), resume=resume, epochs=2), CPU, "net")
    assert stopped.value.code == 0 and contents() == before
    output = capsys.readouterr().out
    assert "here: already finished at step 3" in output and output.count("\n") == 1


def test_a_run_that_is_finished_goes_on_from_an_earlier_step():
    train(open_run(arguments(run_dir=Path("here")), CPU, "net"), 2)
    train(open_run(arguments(run_dir=Path("here"), resume="auto"), CPU, "net"), 3)
    status.end(0, None)
    run = open_run(arguments(resume="here/checkpoints/step-2.pt"), CPU, "net")
    assert run.checkpoint is not None and run.checkpoint["step"] == 2


def test_a_run_that_is_finished_goes_on_where_its_last_checkpoint_is_damaged():
    train(open_run(arguments(run_dir=Path("here")), CPU, "net"), 2)
    train(open_run(arguments(run_dir=Path("here"), resume="auto"), CPU, "net"), 3)
    status.end(0, None)
    Path("here/checkpoints/step-3.pt").write_bytes(b"half")
    run = open_run(arguments(run_dir=Path("here"), resume="auto"), CPU, "net")
    assert run.checkpoint is not None and run.checkpoint["step"] == 2


def test_a_run_that_is_finished_goes_on_for_more_epochs_and_no_fewer(capsys):
    finished(epochs=2)
    capsys.readouterr()
    code, error = refused(capsys, run_dir=Path("here"), resume="auto", epochs=1)
    assert code == MISMATCH and "--epochs 1" in error
    run = open_run(arguments(run_dir=Path("here"), resume="auto", epochs=5), CPU, "net")
    assert run.checkpoint is not None and run.config["epochs"] == 5
    assert "epochs = 5" in (run.folder / "config.toml").read_text()


def test_another_experiment_is_refused_and_the_run_left_as_it_is(capsys):
    run = open_run(arguments(run_dir=Path("here")), CPU, "net")
    train(run, 3)
    before = (run.folder / "config.toml").read_text()
    code, error = refused(capsys, run_dir=Path("here"), resume="auto", lr=0.5)
    assert code == MISMATCH == 78
    assert "--lr 0.5" in error and "0.1" in error and "--init-from here/checkp" in error
    assert (run.folder / "config.toml").read_text() == before


def test_a_run_may_continue_on_another_device():
    train(open_run(arguments(run_dir=Path("here")), CPU, "net"), 3)
    run = open_run(arguments(run_dir=Path("here"), resume="auto", device="cpu"), CPU, "net")
    assert run.checkpoint is not None and run.config["device"] == "cpu"


def test_a_flag_that_the_project_did_not_have_then_may_have_its_default(capsys):
    train(open_run(arguments(run_dir=Path("here")), CPU, "net"), 3)
    again = {"run_dir": Path("here"), "resume": "auto"}
    assert open_run(arguments(**again, new_flag=0), CPU, "net").config["new_flag"] == 0
    code, error = refused(capsys, **again, new_flag=1)
    assert code == MISMATCH and "--new-flag 1" in error


@pytest.mark.parametrize(("limit", "expected"), [(None, float("inf")), (60.0, 60.0)])
def test_the_time_limit_counts_from_the_start(monkeypatch, limit, expected):
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    assert open_run(arguments(time_limit=limit), CPU, "net").deadline == expected


def test_a_checkpoint_that_is_not_there_is_refused(capsys):
    code, error = refused(capsys, resume="nowhere.pt")
    assert code == MISMATCH and "nowhere.pt" in error
    assert not Path("runs").exists()


def test_a_folder_that_cannot_be_made_is_refused(capsys):
    Path("file").write_text("")
    code, error = refused(capsys, run_dir=Path("file/run"))
    assert code == OUTPUT and "--run-dir file" in error


def test_a_dry_run_is_nowhere_in_the_working_folder():
    run = open_run(arguments(dry_run=True), CPU, "net")
    assert run.folder.is_dir() and not list(Path().iterdir())


def test_a_run_whose_last_save_failed_does_not_end_well(capsys):
    run = open_run(arguments(run_dir=Path("here")), CPU, "net")
    status.not_saved(4, "no space")
    with pytest.raises(SystemExit) as stopped:
        run.conclude(Best("accuracy", higher=True, patience=0))
    assert stopped.value.code == NOT_WRITTEN


def test_the_run_says_what_it_is_about_and_what_came_out(capsys):
    run = Run(Path("runs/a").absolute(), Path("runs/a"), {})
    run.take_data(train=range(5000), val=range(7), test=range(1))
    run.announce(nn.Linear(99, 10), Precision(CPU, "none"), ["cat", "dog"])
    best = Best("accuracy", higher=True, patience=0)
    run.conclude(best)
    best.update({"accuracy": 0.5})
    run.conclude(best)
    first, classes, second = capsys.readouterr().out.splitlines()
    assert classes == "2 classes: cat, dog"
    assert all(part in first for part in ("1,000 parameters", "cpu", "to runs/a/"))
    assert "samples: train 5,000, val 7, test 1" in first
    assert "accuracy 0.5000" in second and "best.pt" in second


def test_the_run_says_where_it_computes_in_another_precision_than_was_asked_for(capsys):
    precision = Precision(CPU, "none")
    precision.note = " in float32"
    Run(Path("a").absolute(), None, {}).announce(nn.Linear(1, 1), precision)
    assert "on cpu in float32; samples: ; nothing is kept" in capsys.readouterr().out


HOLD = """
import sys
from pathlib import Path
from project.engine.run import lock
held = lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process, at work in the folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=SEVERAL, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused(tmp_path, capsys, other):
    with pytest.raises(SystemExit) as stopped:
        lock(tmp_path)
    assert stopped.value.code == OUTPUT == 73
    error = capsys.readouterr().err
    assert str(tmp_path) in error and "at work in it" in error and error.count("\n") == 1


def test_a_killed_process_holds_nothing(tmp_path, other):
    other.kill()
    other.wait()
    lock(tmp_path).release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_worker_does_not_keep_the_lock(tmp_path):
    program = HOLD.replace("sys.stdin.read()", FORK)
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=SEVERAL, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        process.kill()
        process.wait()
        lock(tmp_path).release()


FORK = """
import os
if os.fork():
    os.waitpid(-1, 0)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_said_once_and_ends_nothing(
    tmp_path, capsys, monkeypatch, name
):
    number = getattr(errno, name)

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", refuse)
    run = open_run(arguments(run_dir=tmp_path), CPU, "net")
    error = capsys.readouterr().err
    assert run.folder == tmp_path and error.count("\n") == 1
    assert "cannot be locked" in error and os.strerror(number) in error


def test_a_process_that_was_refused_leaves_the_lock_to_the_first(tmp_path, other):
    for _ in range(2):
        with pytest.raises(SystemExit):
            lock(tmp_path)


def test_it_names_the_code_and_what_it_ran_on():
    found = environment(CPU)
    assert found["packages"]["torch"] == version("torch")
    assert found["python"] == sys.version
    assert (found["device"], found["processes"]) == ("cpu", 1)
    assert {"git_commit", "git_changes", "platform"} <= found.keys()


def repository(folder: Path, *tracked: str) -> None:
    """Make a repository with a commit of these files."""
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", *tracked), (*who, "commit", "-qm", "first")):
        subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project, which is not the one that the run is started in."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "run.py").touch()
    monkeypatch.setattr(module, "__file__", str(folder / "run.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return folder


def test_the_commit_is_that_of_the_project_and_not_of_the_working_folder(code):
    repository(code, "run.py")
    (code / "b\u00e9").touch()
    found = environment(CPU)
    assert len(found["git_commit"]) == 40 and found["git_changes"].startswith("?? ")


def test_a_repository_around_a_project_that_it_does_not_hold_is_none(code, tmp_path):
    (tmp_path / "notes").touch()
    repository(tmp_path, "notes")
    found = environment(CPU)
    assert (found["git_commit"], found["git_changes"]) == (None, None)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
def test_names_that_are_not_utf_8_are_no_reason_to_end(code):
    repository(code, "run.py")
    subprocess.run(["git", "config", "core.quotepath", "false"], cwd=code, check=True)
    Path(os.fsdecode(os.fsencode(code) + b"/b\xe9")).touch()
    assert environment(CPU)["git_changes"] == "?? b\ufffd"


def test_without_git_the_rest_is_there(monkeypatch, tmp_path, code):
    assert environment(CPU)["git_commit"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module.git("status") is None


def test_a_working_folder_that_was_deleted_ends_nothing(capsys, monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    run = open_run(arguments(run_dir=tmp_path / "here"), CPU, "net")
    gone.rmdir()
    best = Best("accuracy", higher=True, patience=0)
    best.update({"accuracy": 0.5})
    train(run, 1)
    run.conclude(best)
    assert str(tmp_path / "here") in capsys.readouterr().out


def test_a_password_in_the_command_line_is_not_written(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--server", "https://me:pa55@host/"])
    run = open_run(arguments(run_dir=Path("here")), CPU, "net")
    for name in ("environment.json", "run_status.json"):
        text = (run.folder / name).read_text()
        assert "pa55" not in text and "https://***@host/" in text


class Named(Dataset):
    """A data set that can tell its samples from others."""

    def __init__(self, samples: list[tuple[str, int]]) -> None:
        self.samples = samples
        self.identities = [f"{name} {content}" for name, content in samples]

    def __len__(self) -> int:
        return len(self.samples)


PETS = [("cat 1.png", 10), ("cat 2.png", 20), ("dog.png", 30)]


def trained_on(pets: Any) -> Run:
    """Return a run that goes on from a checkpoint of a run with these samples."""
    run = open_run(arguments(), CPU, "net")
    run.take_data(train=pets, val=[1])
    about = {"config": run.config, "model": {}, "data": {}, "sets": run.sets}
    Checkpoints(run.folder, {"net": nn.Linear(2, 1)}, about, every=1, keep=3).save(1)
    del run
    gc.collect()  # and with it the lock
    return open_run(arguments(resume="auto"), CPU, "net")


def test_a_run_goes_on_with_the_same_data():
    run = trained_on(Named(PETS))
    run.take_data(train=Named(PETS), val=[1])
    assert run.sets["train"]["samples"] == 3 and run.sets["train"]["fingerprint"]


def test_the_run_keeps_which_sample_was_in_which_set():
    run = open_run(arguments(), CPU, "net")
    pets = Named(PETS)
    run.take_data(train=pets, val=Subset(pets, [2]), test=ConcatDataset([pets, Subset(pets, [0])]))
    rows = (run.folder / "samples.csv").read_text().splitlines()
    assert rows[:2] == ["set,sample,content", "train,cat 1.png,10"]
    assert [row.partition(",")[0] for row in rows[1:]] == ["train"] * 3 + ["val"] + ["test"] * 4


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([*PETS, ("eel.png", 5)], "3 samples then, 4 now; 1 added: eel.png"),
        (PETS[1:], "3 samples then, 2 now; 1 removed: cat 1.png"),
        ([*PETS[:2], ("dog.png", 31)], "3 samples then, 3 now; 1 edited: dog.png"),
        ([PETS[1], PETS[0], PETS[2]], "3 samples then, 3 now"),
    ],
)
def test_other_data_is_refused_and_what_changed_is_named(capsys, now, said):
    run = trained_on(Named(PETS))
    with pytest.raises(SystemExit) as stopped:
        run.take_data(train=Named(now), val=[1])
    assert stopped.value.code == MISMATCH
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_of_data_without_names_the_number_is_compared(capsys):
    run = trained_on([1, 2, 3])
    with pytest.raises(SystemExit):
        run.take_data(train=[1, 2], val=[1])
    assert "the train set has changed (3 samples then, 2 now)" in capsys.readouterr().err
