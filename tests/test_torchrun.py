"""Two processes under torchrun, of which one disagrees, dies or hangs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import Render

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

TRAIN = ["--device", "cpu", "--batch-size", "4", "--max-steps", "8", "--save-every", "2"]
TRAIN += ["--eval-batches", "1", "--resume", "auto"]
GONE = "another process is gone, and says why if it could; --resume auto continues"
SILENT = "no answer from another process for 10 s; --resume auto continues"
SURROUNDINGS = os.environ | {"OMP_NUM_THREADS": "1"}
# runs train.py in both processes, and strikes one of them, if it has not been started again
FAULTY = """
import os
import runpy
import signal
import sys
import time
from datetime import timedelta
from itertools import count

from torch.optim.optimizer import register_optimizer_step_post_hook

from p.engine import processes

fault, *sys.argv = sys.argv[1:]
steps = count(1)


def strike(*_):
    if next(steps) == 5:
        whom = os.getppid() if fault == "launcher dies" else os.getpid()
        os.kill(whom, signal.SIGSTOP if fault == "hangs" else signal.SIGKILL)


if fault == "hangs":
    processes.PATIENCE = timedelta(seconds=10)
if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "1":
    time.sleep(3)  # the other one looks for this one's address meanwhile, and must not find the old
elif os.environ["RANK"] == "1" and fault == "other flag":
    sys.argv += ["--lr", "0.5"]
elif os.environ["RANK"] == "1" and fault not in ("none", "no reader"):
    register_optimizer_step_post_hook(strike)
runpy.run_path("train.py", run_name="__main__")
"""


class Torchrun:
    """A launcher with what it starts, all of which inherit a variable of their own."""

    def __init__(self, project: Path, name: str, fault: str, workers: int, restarts: int) -> None:
        self.folder = project / name
        self.log = project / f"{name}.txt"
        self.mark = f"STARTED_BY_TEST={uuid.uuid4()}"
        variable, value = self.mark.split("=")
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        launch += ["--nproc-per-node=2", f"--max-restarts={restarts}", "faulty.py", fault]
        train = ["train.py", *TRAIN, "--workers", str(workers), "--run-dir", name]
        reading, writing = os.pipe()
        os.close(reading)
        with self.log.open("w") as log:
            output = writing if fault == "no reader" else log
            self.launcher = subprocess.Popen(
                [*launch, *train],
                cwd=project,
                env=SURROUNDINGS | {variable: value},
                stdout=output,
                stderr=log if output == writing else subprocess.STDOUT,
            )
        os.close(writing)

    def alive(self) -> list[int]:
        """Return the launcher, the processes and their workers, as far as they still run."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
            except OSError:  # of another user, or just gone
                continue
        return found

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{self.alive()}\n{self.output()}"
            time.sleep(0.05)

    def finish(self) -> int:
        """Return the launcher's exit code; nobody may be left half a minute after it."""
        code = self.launcher.wait(timeout=240)
        self.wait_until(lambda: not self.alive(), 30)
        return code

    def output(self) -> str:
        return self.log.read_text()

    def tracebacks(self) -> int:
        """Return how many there are besides that of torchrun, which is part of its report."""
        return self.output().count("Traceback (most") - self.output().count("ChildFailedError: ")

    def status(self) -> dict[str, Any]:
        return json.loads((self.folder / "run_status.json").read_text())

    def kill(self) -> None:
        for number in self.alive():
            with suppress(ProcessLookupError):  # just gone
                os.kill(number, signal.SIGKILL)
        self.launcher.wait()


@pytest.fixture(scope="module")
def project(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torchrun") / "project"
    shutil.copytree(render(task="language_modeling", parallel="ddp", package="p"), folder)
    (folder / "faulty.py").write_text(FAULTY)
    return folder


@pytest.fixture
def torchrun(project: Path) -> Iterator[Callable[..., Torchrun]]:
    """Return a function that starts two processes; what they leave behind ends with the test."""
    started: list[Torchrun] = []

    def torchrun(name: str, fault: str, *, workers: int = 0, restarts: int = 0) -> Torchrun:
        started.append(Torchrun(project, name, fault, workers, restarts))
        return started[-1]

    yield torchrun
    for run in started:
        run.kill()


def newest(run_folder: Path) -> dict[str, Any]:
    """Return the last checkpoint by its number, whatever else is in the folder."""
    paths = (run_folder / "checkpoints").glob("*-*.pt")
    path = max(paths, key=lambda path: int(path.stem.rpartition("-")[2]))
    return torch.load(path, weights_only=True)


def test_processes_with_different_flags_end_before_there_is_a_folder(torchrun) -> None:
    run = torchrun("disagree", "other flag")
    assert run.finish() != 0
    line = "the processes disagree about --lr: 0.002 on 0, 0.5 on 1; "
    assert run.output().count(line) == 1
    assert "(exitcode: 78)" in run.output() and run.tracebacks() == 0
    assert not run.folder.exists()


def test_a_reader_that_is_gone_ends_no_process(torchrun) -> None:
    run = torchrun("unread", "no reader")
    assert run.finish() == 0, run.output()
    assert run.status()["state"] == "finished" and run.tracebacks() == 0


def test_killed_process_takes_the_others_along(torchrun) -> None:
    run = torchrun("killed", "dies", workers=1)
    assert run.finish() != 0
    assert run.output().count(GONE) == 1 and run.tracebacks() == 0
    assert run.status()["state"] == "failed" and run.status()["code"] == 69
    assert newest(run.folder)["step"] == 4


def test_process_that_hangs_is_given_up(torchrun) -> None:
    run = torchrun("hangs", "hangs")
    # it says so before it notes it, and the first to note it counts
    run.wait_until(lambda: SILENT in run.output() and run.status()["state"] == "failed", 120)
    # for torchrun, which would wait for it for half a minute
    for number in run.alive():
        os.kill(number, signal.SIGCONT)
    assert run.finish() != 0
    assert run.tracebacks() == 0
    assert run.status()["reason"] == SILENT
    assert newest(run.folder)["step"] == 4


def test_killed_launcher_takes_the_processes_along_and_the_run_resumes(torchrun, project) -> None:
    run = torchrun("launcher", "launcher dies", workers=1)
    assert run.finish() == -signal.SIGKILL
    assert run.status()["state"] == "stopped", "SIGTERM, and time to save"
    step = newest(run.folder)["step"]
    assert step >= 5
    command = [sys.executable, "train.py", *TRAIN, "--run-dir", "launcher"]
    again = subprocess.run(
        command, cwd=project, env=SURROUNDINGS, capture_output=True, text=True, timeout=240
    )
    assert f"continues after step {step}" in again.stdout, again.stderr
    assert newest(run.folder)["step"] == 8


def test_run_that_torchrun_starts_again_ends_with_the_same_weights(torchrun) -> None:
    undisturbed, restarted = torchrun("whole", "none"), torchrun("again", "dies", restarts=1)
    assert undisturbed.finish() == restarted.finish() == 0, restarted.output()
    assert "continues after step 4" in restarted.output()
    expected, found = (newest(run.folder) for run in (undisturbed, restarted))
    assert expected["step"] == found["step"] == 8
    for name, tensor in expected["state"]["net"].items():
        assert torch.equal(tensor, found["state"]["net"][name]), name
