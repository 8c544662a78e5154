"""Runs that are killed, or lose their disk or folder on the way, and what resuming makes of them.

A sample; `python tests/kill.py --kills 200` is the whole of it.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import forked
import kill
from conftest import SAMPLE, SAMPLED, Fork
from extensions.features import TASKS
from forked import Fault, Project, differs, result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks into /proc")

KILLS, FEW_KILLS = 8, 2  # for each task of the sample, for each other one
# in the midst of a file, and between any two of the calls that make it the newest whole one
SAVING = [Fault(*where, "SIGKILL") for where in (("write", 20), ("write", 60), ("save", 2))]
SAVING += [Fault("fsync", call, "SIGKILL") for call in range(7, 12)]


class Suite(NamedTuple):
    """A project of one task, and its run that nothing has interrupted."""

    project: Project
    place: Path
    whole: kill.Whole

    def start(self, run: str | Path, *flags: str, **options: Any) -> forked.Process:
        always = (*kill.FLAGS, "--save-every", "1", *self.project.random)
        command = (*always, "--run-dir", str(run), "--resume", "auto", *flags)
        return self.project.start(self.place, *command, **options)

    def train(self, run: str | Path, *flags: str, **options: Any) -> forked.Done:
        return self.start(run, *flags, **options).wait()

    def assert_same(self, run: str | Path) -> None:
        assert differs(result(self.place / run), self.whole.result) is None


@pytest.fixture(scope="module")
def suites(
    fork: Fork, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Suite]]:
    with pytest.MonkeyPatch.context() as patch:

        @cache
        def make(task: str) -> Suite:
            project = fork(task)
            patch.syspath_prepend(str(project.folder))  # the engine is the same for all tasks
            place = project.make_data(tmp_path_factory.mktemp(task))
            return Suite(project, place, kill.train_whole(project, place))

        yield make


@pytest.fixture(params=SAMPLED)
def suite(request: pytest.FixtureRequest, suites: Callable[[str], Suite]) -> Suite:
    return suites(request.param)


@pytest.mark.parametrize("task", TASKS)
def test_killed_run_resumes_to_the_same_end(suites: Callable[[str], Suite], task: str) -> None:
    suite, chance, phases = suites(task), random.Random(task), []
    while len(phases) < (KILLS if task in SAMPLE else FEW_KILLS):
        run = f"killed-{len(list(suite.place.glob('killed-*')))}"
        first = () if phases else SAVING
        phases += kill.kill_and_resume(*suite[:2], run, suite.whole, chance, first)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"scores")] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize("damage", [flip, truncate])
def test_damaged_checkpoint_is_named_and_the_one_before_is_used(
    suite: Suite, damage: Callable[[Path], None]
) -> None:
    run = damage.__name__
    assert suite.train(run, faults=[Fault("step", 7, "SIGKILL")]).code == -9
    newest, before = forked.checkpoints(suite.place / run)
    damage(newest)
    done = suite.train(run)
    assert done.code == 0, done.err
    assert done.err.count("\n") == 1 and newest.name in done.err
    assert f"{before.name}: continues" in done.out
    assert newest.with_name(f"{newest.name}.newer").exists()
    suite.assert_same(run)


def test_full_disk_costs_checkpoints_and_nothing_else(suite: Suite) -> None:
    # the first test pass comes before it
    full, space = Fault("step", 6, "disk full"), Fault("step", 8, "space")
    done = suite.train("full", faults=[full, space])
    assert done.code == 0, done.err
    unsaved = [line.partition(" is not saved")[0] for line in done.err.splitlines()]
    assert unsaved == ["step 6", "step 7"]
    suite.assert_same("full")


def test_best_score_that_was_not_saved_is_not_claimed(suite: Suite) -> None:
    full, space = Fault("step", 4, "disk full"), Fault("step", 5, "space")
    # no later score is better
    done = suite.train("unsaved-best", "--lr", "1e-30", faults=[full, space])
    assert done.code == 0, done.err
    best = forked.content(suite.place / "unsaved-best" / "checkpoints" / "best.pt")
    name, score = done.out.splitlines()[-1].partition(";")[0].split()[1:]
    assert score == f"{best['scores'][name]:.4f}"


def test_run_whose_disk_stays_full_says_so_and_resumes_with_space(suite: Suite) -> None:
    done = suite.train("fuller", faults=[Fault("step", 6, "disk full")])
    assert done.code == 74
    assert "step 9 is not saved" in done.err.splitlines()[-1] and "Traceback" not in done.err
    status = json.loads((suite.place / "fuller" / "run_status.json").read_text())
    assert (status["state"], status["code"], status["saved_step"]) == ("failed", 74, 5)
    assert suite.train("fuller").code == 0
    suite.assert_same("fuller")


def test_run_whose_folder_is_deleted_goes_on_and_keeps_what_comes(suite: Suite) -> None:
    folder = suite.place / "deleted"
    done = suite.train("deleted", faults=[Fault("step", 5, f"delete {folder}")])
    assert done.code == 0, done.err
    found = forked.content(folder / "checkpoints" / "step-9.pt")
    assert differs(found, suite.whole.result["newest"]) is None


def test_run_that_changes_folder_writes_where_it_began(suite: Suite) -> None:
    small = suite.project.made_up["FLAGS"]
    places = (suite.place / word for word in small)
    flags = [str(path) if path.exists() else word for path, word in zip(places, small, strict=True)]
    done = suite.train("moved", *flags, faults=[Fault("step", 3, "leave")])
    assert done.code == 0, done.err
    suite.assert_same("moved")
    status = json.loads((suite.place / "moved" / "run_status.json").read_text())
    assert (status["state"], status["saved_step"]) == ("finished", 9)
    assert not list((suite.place / "elsewhere").iterdir())


def test_run_behind_a_link_is_resumed(suite: Suite) -> None:
    (suite.place / "disk").mkdir()
    (suite.place / "link").symlink_to("disk")
    suite.train("link/run", faults=[Fault("step", 4, "SIGKILL")])
    done = suite.train("disk/run")
    assert done.code == 0 and "step-3.pt: continues" in done.out
    suite.assert_same("link/run")


def test_second_run_in_a_folder_is_refused_and_the_first_goes_on(suite: Suite) -> None:
    first = suite.start("shared", faults=[Fault("step", 3, "SIGSTOP")])
    wait_for(suite.place / "shared" / "checkpoints" / "step-2.pt")
    second = suite.train("shared")
    assert second.code == 73 and second.err.count("\n") == 1, second.err
    assert "another process is at work in it" in second.err
    first.resume()
    assert first.wait().code == 0
    suite.assert_same("shared")


def test_workers_that_a_killed_run_left_keep_nobody_out(suite: Suite) -> None:
    first = suite.start("orphans", "--workers", "2", faults=[Fault("step", 4, "SIGSTOP")])
    wait_for(suite.place / "orphans" / "checkpoints" / "step-3.pt")
    left = forked.session(first.pid).keys() - {first.pid}
    assert len(left) == 2
    for pid in left:
        forked.send(pid, "SIGSTOP")  # or they would go when they see that their parent has gone
    forked.send(first.pid, "SIGKILL")
    assert len(first.wait(orphans=True).left) == 2
    second = suite.train("orphans")
    first.clear()
    assert second.code == 0, second.err
    suite.assert_same("orphans")


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.005)
