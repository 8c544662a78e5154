"""A run that is stopped and resumed, whenever and with whatever workers, is the run itself."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import forked
from conftest import SAMPLED, Fork, Render
from extensions.features import TASKS
from forked import PACKAGE, Fault, Project, differs, result, score_lines

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks into /proc")

STEPS = 10  # of three epochs and a bit
HARD = "--eval-every 4 --save-every 3 --accumulate 2 --amp bf16 --ema 0.5 --schedule linear"
FLAGS = (*HARD.split(), "--clip-norm", "0.5", "--patience", "3", "--max-steps", str(STEPS))
AGAIN = ("--resume", "auto")


class Suite(NamedTuple):
    """A project of one task, and its run that nothing has interrupted."""

    project: Project
    place: Path
    flags: tuple[str, ...]
    whole: dict[str, Any]
    lines: list[str]

    def train(self, run: str, *flags: str, **options: Any) -> forked.Done:
        return self.project.train(
            self.place, *self.flags, "--run-dir", run, *flags, *AGAIN, **options
        )


@pytest.fixture(scope="module")
def suites(fork: Fork, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Suite]:
    @cache
    def make(task: str) -> Suite:
        project = fork(task)
        place = project.make_data(tmp_path_factory.mktemp(task))
        flags = (*FLAGS, *project.random)
        done = project.train(place, *flags, "--run-dir", "whole")
        assert done.code == 0, done.err
        return Suite(project, place, flags, result(place / "whole"), score_lines(done.out))

    return make


@pytest.fixture(params=TASKS)
def each(request: pytest.FixtureRequest, suites: Callable[[str], Suite]) -> Suite:
    return suites(request.param)


@pytest.fixture(params=SAMPLED)
def suite(request: pytest.FixtureRequest, suites: Callable[[str], Suite]) -> Suite:
    return suites(request.param)


def test_run_stopped_in_mid_epoch_resumes_to_the_same_end(each: Suite) -> None:
    run = "stopped"
    stopped = each.train(run, "--workers", "2", faults=[Fault("step", 2, "SIGTERM")])
    assert (stopped.code, stopped.left) == (75, []), stopped.err
    resumed = each.train(run)
    assert resumed.code == 0, resumed.err
    assert differs(result(each.place / run), each.whole) is None
    assert score_lines(stopped.out, resumed.out) == each.lines


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        (1, "--workers 2 --save-every 5", "--save-every 100"),
        (2, "--keep 2", "--workers 2"),  # in mid-epoch
        (4, "--workers 1", "--save-every 1"),  # at a test pass
        (6, "--save-every 100", "--workers 3 --keep 2"),  # at the end of an epoch
        (10, "", ""),  # at the end: nothing is left to do
    ],
)
def test_stopped_run_resumed_with_other_workers_is_the_same(
    suite: Suite, step: int, before: str, after: str
) -> None:
    run = f"stopped-{step}"
    stopped = suite.train(run, *before.split(), faults=[Fault("step", step, "SIGTERM")])
    assert (stopped.code, stopped.left) == (75, []), stopped.err
    assert forked.checkpoints(suite.place / run)[0].stem == f"step-{step}"
    resumed = suite.train(run, *after.split())
    assert (resumed.code, resumed.left) == (0, []), resumed.err
    assert differs(result(suite.place / run), suite.whole) is None
    assert score_lines(stopped.out, resumed.out) == suite.lines


def test_run_stopped_after_each_step_is_the_same(suite: Suite) -> None:
    outputs = []
    for workers in (0, 2) * (STEPS // 2):
        fault = Fault("step", 1, "SIGINT")
        done = suite.train("each", "--workers", str(workers), faults=[fault])
        assert done.code == 75, done.err
        outputs.append(done.out)
    assert suite.train("each").code == 0
    assert differs(result(suite.place / "each"), suite.whole) is None
    assert score_lines(*outputs) == suite.lines


def test_run_that_loses_patience_ends_at_the_same_step_after_a_stop(suite: Suite) -> None:
    still = ("--lr", "1e-30", "--patience", "1", "--eval-every", "2", "--max-steps", "40")
    for run, faults in {"patient": [], "resumed": [Fault("step", 3, "SIGTERM")]}.items():
        suite.train(run, *still, faults=faults)
        done = suite.train(run, *still)
        assert done.code == 0, done.err
        assert forked.checkpoints(suite.place / run)[0].stem == "step-4"
    ours, theirs = (result(suite.place / run) for run in ("patient", "resumed"))
    assert differs(ours, theirs) is None


def test_other_test_passes_leave_training_as_it_is(suite: Suite) -> None:
    suite.train("seldom", faults=[Fault("step", 5, "SIGTERM")])
    assert suite.train("seldom", "--eval-every", "3", "--eval-batches", "0").code == 0
    ours, theirs = result(suite.place / "seldom")["newest"], suite.whole["newest"]
    for part in ("net", "average", "optimizer", "scheduler", "guard"):
        assert differs(ours["state"][part], theirs["state"][part]) is None, part


def test_other_micro_batches_are_the_same_but_for_rounding(suite: Suite) -> None:
    plain = ("--amp", "none", "--dropout", "0") if "--dropout" in suite.flags else ("--amp", "none")
    flags = (*plain, "--max-steps", "6")
    suite.train("pieces", *flags, faults=[Fault("step", 3, "SIGTERM")])
    assert suite.train("pieces", *flags, "--accumulate", "1").code == 0
    assert suite.train("no-pieces", *flags, "--accumulate", "1").code == 0
    assert_close(suite.place / "pieces", suite.place / "no-pieces")


def assert_close(run: Path, other: Path) -> None:
    ours, theirs = (result(place)["newest"]["state"]["net"] for place in (run, other))
    # Adam turns rounding in a near-zero gradient into a whole step, so the norm is compared
    apart = sum((ours[name] - theirs[name]).float().pow(2).sum() for name in ours) ** 0.5
    size = sum(ours[name].float().pow(2).sum() for name in ours) ** 0.5
    assert apart < 1e-3 * size


# a signal to all processes of a terminal, a container or a job reaches the workers, too
@pytest.mark.parametrize("to", ["", "group "])
@pytest.mark.parametrize(
    ("method", "name"), [("fork", "SIGTERM"), ("forkserver", "SIGINT"), ("spawn", "SIGUSR1")]
)
def test_signal_stops_and_saves_however_workers_start(
    suite: Suite, method: str, name: str, to: str
) -> None:
    if suite.project.task != next(iter(TASKS)) and method != "fork":
        pytest.skip("once is enough: workers that start that way import PyTorch again")
    run = f"{method}-{to.strip()}"
    faults = [Fault("step", 5, f"{to}{name}")]
    stopped = suite.train(run, "--workers", "2", method=method, faults=faults)
    assert (stopped.code, stopped.left) == (75, []), stopped.err
    # Python's tracker of resources may die of SIGUSR1, and says so in many lines
    assert name == "SIGUSR1" or not stopped.err
    assert suite.train(run).code == 0
    assert differs(result(suite.place / run), suite.whole) is None


# several processes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def train_two(suite: Suite, run: str, *flags: str, faults: list[Fault]) -> list[forked.Done]:
    """Run two processes as torchrun would; the second one has the faults."""
    port = str(free_port())
    processes = []
    for rank in range(2):
        env = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
        command = (*suite.flags, "--accumulate", "1", "--run-dir", run, *flags, *AGAIN)
        options: dict[str, Any] = {"faults": faults if rank else (), **env}
        processes.append(suite.project.start(suite.place, *command, **options))
    return [process.wait() for process in processes]


def test_two_processes_are_one_but_for_rounding(each: Suite) -> None:
    plain = ("--amp", "none", "--max-steps", "6")
    plain += ("--dropout", "0") if "--dropout" in each.flags else ()
    two = train_two(each, "two-plain", *plain, faults=[])
    assert [done.code for done in two] == [0, 0], two
    assert each.train("one-plain", *plain).code == 0
    assert_close(each.place / "two-plain", each.place / "one-plain")


def test_signal_to_one_of_two_processes_stops_both(suite: Suite) -> None:
    whole = train_two(suite, "two", faults=[])
    assert [done.code for done in whole] == [0, 0], whole
    stopped = train_two(suite, "two-stopped", faults=[Fault("step", 5, "SIGTERM")])
    assert [done.code for done in stopped] == [75, 75], stopped
    assert forked.checkpoints(suite.place / "two-stopped")[0].stem == "step-5"
    shutil.copytree(suite.place / "two-stopped", suite.place / "one")
    resumed = train_two(suite, "two-stopped", "--workers", "1", faults=[])
    assert [done.code for done in resumed] == [0, 0], resumed
    two = result(suite.place / "two")
    assert differs(result(suite.place / "two-stopped"), two) is None
    # two micro-batches of one process are those of two
    assert suite.train("one").code == 0
    assert_close(suite.place / "one", suite.place / "two")
    assert_close(suite.place / "two", suite.place / "whole")


@pytest.mark.slow
def test_signal_to_torchrun_stops_and_saves(suite: Suite) -> None:
    if suite.project.task != next(iter(TASKS)):
        pytest.skip("once is enough")
    script, flags = suite.project.folder / "train.py", suite.project.made_up["FLAGS"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    several = ["--max-steps", "40", "--save-every", "5", "--eval-every", "20", *forked.FLAGS]

    def command(run: str) -> list[str]:
        return [str(script), *flags, *several, "--run-dir", run, *AGAIN]

    def torchrun(run: str) -> subprocess.Popen[bytes]:
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        where = suite.place / f"{run}.txt"
        with where.open("w") as file:
            return subprocess.Popen(
                [*launch, *command(run)],
                cwd=suite.place,
                stdout=file,
                stderr=file,
                start_new_session=True,
                env=env,
            )

    whole = torchrun("launched")
    assert whole.wait(timeout=120) == 0, (suite.place / "launched.txt").read_text()
    stopped = torchrun("launched-stopped")
    while not list(suite.place.glob("launched-stopped/checkpoints/step-5.pt")):
        assert stopped.poll() is None
        time.sleep(0.005)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(timeout=60) != 0
    assert forked.session(stopped.pid) == {}
    status = (suite.place / "launched-stopped" / "run_status.json").read_text()
    assert '"state": "stopped"' in status, (suite.place / "launched-stopped.txt").read_text()
    shutil.copytree(suite.place / "launched-stopped", suite.place / "alone")
    assert torchrun("launched-stopped").wait(timeout=120) == 0
    ours, theirs = (result(suite.place / run) for run in ("launched-stopped", "launched"))
    assert differs(ours, theirs) is None
    alone = [sys.executable, *command("alone"), "--accumulate", "2"]
    subprocess.run(alone, cwd=suite.place, check=True, capture_output=True)
    assert_close(suite.place / "alone", suite.place / "launched")


# loggers


def scalars_in_tensorboard(run: Path) -> dict[tuple[str, int], float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events: Any = EventAccumulator(str(run)).Reload()
    names = events.Tags()["scalars"]
    return {(name, e.step): e.value for name in names for e in events.Scalars(name)}


def scalars_in_mlflow(run: Path) -> dict[tuple[str, int], float]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{run}/mlflow/mlflow.db")
    number = (run / "mlflow" / "run_id").read_text()
    names = client.get_run(number).data.metrics
    return {
        (name, metric.step): metric.value
        for name in names
        for metric in client.get_metric_history(number, name)
    }


@pytest.mark.slow
def test_loggers_of_a_resumed_run_hold_each_number_once_and_the_same(
    render: Render, tmp_path: Path
) -> None:
    task = next(iter(TASKS))
    loggers = ["tensorboard", "wandb", "mlflow", "csv"]
    with Project(render(task=task, package=PACKAGE, logger=loggers), task) as project:
        place = project.make_data(tmp_path)
        for run, faults in {"whole": [], "stopped": [Fault("step", 5, "SIGTERM")]}.items():
            done = project.train(place, *FLAGS, "--run-dir", run, *AGAIN, faults=faults)
            assert (done.code, done.left) == (75 if faults else 0, []), done.err
        resumed = project.train(place, *FLAGS, "--run-dir", "stopped", *AGAIN)
        assert resumed.code == 0, resumed.err
        assert all(line.startswith("wandb: ") for line in resumed.err.splitlines()), resumed.err
    assert differs(result(place / "stopped"), result(place / "whole")) is None
    for read in (scalars_in_tensorboard, scalars_in_mlflow):
        ours, theirs = (
            {key: value for key, value in read(place / run).items() if key[0][0] == "t"}
            for run in ("stopped", "whole")
        )
        assert ours == theirs and len(ours) > STEPS
    # what is uploaded later goes to one run
    found = {path.name.rpartition("-")[2] for path in (place / "stopped/wandb").glob("offline-*")}
    assert found == {(place / "stopped/wandb/run_id").read_text()}
