"""What releases have left: later ones read it, and a seed gives what it gave.

`python tests/golden/make.py` writes it. A change that means to change results says so in
CHANGELOG.md, by an entry that begins with `numerics (task, task): `, or `numerics: ` for all tasks.
"""

import json
import re
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import pytest
import torch

from conftest import SAMPLE, SAMPLED, Fork
from extensions.features import TASKS
from forked import PACKAGE, Project
from golden import make, runs
from golden.runs import CHECKPOINT, Golden, Numbers
from migrations import changelog
from releases import RELEASES, ROOT, clone, copy, update

GOLDEN = ROOT / "tests" / "golden"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="forks")


# formats of checkpoints


@pytest.fixture
def engine(fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(fork(next(iter(TASKS))).folder)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("format-*.pt")), ids=lambda path: path.stem)
def test_checkpoint_of_this_format_resumes_in_all_its_parts(
    engine: None, path: Path, tmp_path: Path
) -> None:
    values = json.loads(path.with_name(f"{path.stem}-values.json").read_text())
    run = make.Run(tmp_path, seed=2)
    checkpoint = import_module(f"{PACKAGE}.engine.storage").load_checkpoint(path)
    assert run.checkpoints.restore(checkpoint) == 3
    if "counts" in (guard := values["saved"]["guard"]):  # up to release 0.3
        skipped, in_a_row, *_ = guard["counts"]
        values["saved"]["guard"] = {"skipped": skipped, "in_a_row": in_a_row, "loss": 0.0}
    assert run.state() == values["saved"]
    run.step(4)
    ours, theirs = (state["net"] for state in (run.state(), values["after one step more"]))
    for name, weights in ours.items():
        torch.testing.assert_close(torch.tensor(weights), torch.tensor(theirs[name]))


def test_each_format_has_its_checkpoint(engine: None) -> None:
    newest = import_module(f"{PACKAGE}.engine.storage").FORMAT
    found = {path.name for path in GOLDEN.glob("format-*.pt")}
    assert found == {f"format-{number}.pt" for number in range(1, newest + 1)}


# marks of changed results


def changed_numerics(text: str) -> dict[str, set[str]]:
    """Return the tasks whose results a release has changed, the newest release first."""
    found = {}
    for release, entries in changelog.releases(text).items():
        marks = (re.match(r"numerics(?: \(([^)]*)\))?: ", entry.text) for entry in entries)
        tasks = [re.findall(r"\w+", mark[1]) if mark[1] else TASKS for mark in marks if mark]
        found[release] = {task for some in tasks for task in some}
    return found


CHANGED = changed_numerics((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def is_changed(golden: Golden) -> bool:
    """Whether a release after that of the run has changed the results of its task."""
    later = takewhile(lambda release: release != golden.release, CHANGED)
    return any(golden.task in CHANGED[release] for release in later)


def test_marks_are_read_from_the_changelog() -> None:
    text = """\
# Changelog

## Unreleased

- numerics (tabular,
  custom): losses are sums (P04: `losses/`)
- numerics (diffusion): a better noise
- better numerics (time_series): faster

## 0.2.0, 2030-01-01

- numerics: another order of samples (P09: `engine/order.py`)

## 0.1.0, 2029-01-01

- numerical (tabular): nothing
"""
    some = {"tabular", "custom", "diffusion"}
    assert changed_numerics(text) == {"Unreleased": some, "0.2.0": set(TASKS), "0.1.0": set()}


def test_marks_name_tasks_and_stand_after_the_first_release() -> None:
    assert set().union(*CHANGED.values()) <= TASKS.keys()
    assert set(RELEASES) <= set(runs.releases()) <= CHANGED.keys()
    assert not CHANGED[runs.releases()[0]]


# runs


GOLDENS = [golden for release in runs.releases() for golden in runs.goldens(release)]
FIRSTS = {golden.task: golden for golden in reversed(GOLDENS)}  # of each task
EACH = [
    pytest.param(
        golden,
        id=f"{golden.release}-{golden.task}",
        marks=() if golden in FIRSTS.values() or golden.task in SAMPLE else pytest.mark.thorough,
    )
    for golden in GOLDENS
]


# a new task has its first run with the next release
@pytest.fixture(scope="module", params=[task for task in TASKS if task in FIRSTS])
def project(request: pytest.FixtureRequest, fork: Fork) -> Project:
    return fork(request.param)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Project, Golden], Numbers]:
    """Return a function that does a run once for all releases that have done the same."""
    traces: dict[str, Numbers] = {}

    def run(project: Project, golden: Golden) -> Numbers:
        if golden.made_from not in traces:
            place = golden.make_place(tmp_path_factory.mktemp(golden.task) / "place")
            traces[golden.made_from] = golden.run(project, place)
        return traces[golden.made_from]

    return run


def differ(ours: Numbers, theirs: Numbers) -> str:
    """Return the names of what is not equal but for rounding.

    Other kernels of a processor and other threads change a loss by 5e-16 of it, and a Fréchet
    distance, which takes roots of a matrix, by 7e-10.
    """
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        rounding = 1e-12 if name == "train/loss" else 1e-8
        if ours[name] != pytest.approx(values, rel=rounding, abs=1e-15):
            return f"{name}: {ours[name]} is not {values}"
    return ""


@linux_only
def test_run_gives_what_each_release_gave(
    project: Project, run: Callable[[Project, Golden], Numbers]
) -> None:
    for golden in GOLDENS:
        if golden.task == project.task and not is_changed(golden):
            assert not differ(run(project, golden), golden.trace), golden.release


@linux_only
def test_trace_would_miss_no_other_seed(project: Project, tmp_path: Path) -> None:
    golden = FIRSTS[project.task]
    other = golden.run(project, golden.make_place(tmp_path / "place"), "--seed", "2")
    for ours, theirs in zip(other["train/loss"], golden.trace["train/loss"], strict=True):
        assert ours != pytest.approx(theirs, rel=1e-6)


@linux_only
def test_results_differ_where_a_release_says_so(
    project: Project, run: Callable[[Project, Golden], Numbers]
) -> None:
    before = FIRSTS[project.task]
    later = [*takewhile(lambda release: release != before.release, CHANGED)]
    for release in reversed(later):
        path = GOLDEN / release / project.task
        after = runs.read(path) if path.exists() else None
        if project.task in CHANGED[release]:
            trace = after.trace if after else run(project, before)
            assert differ(trace, before.trace), f"{release} has not changed {project.task}"
        before = after or before


@linux_only
@pytest.mark.parametrize("golden", EACH)
def test_checkpoint_of_a_release_is_scored_as_it_was(
    golden: Golden, fork: Fork, tmp_path: Path
) -> None:
    place = golden.make_place(tmp_path / "place")
    golden.put_checkpoint(place)
    assert_scored(golden, golden.score(fork(golden.task), place))


@linux_only
@pytest.mark.parametrize("golden", EACH)
def test_checkpoint_of_a_release_resumes_to_the_same_end(
    golden: Golden, fork: Fork, tmp_path: Path
) -> None:
    place = golden.make_place(tmp_path / "place")
    golden.put_checkpoint(place)
    end = golden.run(fork(golden.task), place, "--resume", CHECKPOINT)
    assert is_changed(golden) or not differ(end, golden.end)


@linux_only
@pytest.mark.update
@pytest.mark.parametrize("task", [param for param in SAMPLED if param.values[0] in FIRSTS])
def test_run_of_the_first_release_goes_on_after_an_update(task: str, tmp_path: Path) -> None:
    template = clone(tmp_path / "template")
    golden = FIRSTS[task]
    folder = copy(template, tmp_path / "project", golden.release, task=task, **runs.ANSWERS)
    place = golden.make_place(tmp_path / "place")
    with Project(folder, task) as project:
        assert not differ(golden.run(project, place), golden.trace)
    update(folder)
    with Project(folder, task) as project:
        assert_scored(golden, golden.score(project, place))
        trace = golden.run(project, place, "--resume", CHECKPOINT)
    assert is_changed(golden) or not differ(trace, golden.trace)


def assert_scored(golden: Golden, scores: dict[str, float]) -> None:
    """The scores are those of the run's test pass at that step, as far as they are printed."""
    passes = {name: values for name, values in golden.trace.items() if name != "train/loss"}
    assert {f"test/{name}" for name in scores} == passes.keys()
    for name, score in scores.items():
        assert is_changed(golden) or score == pytest.approx(passes[f"test/{name}"][0], abs=6e-5)
