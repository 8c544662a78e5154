"""Kill runs at random, let them resume, and compare their ends with the uninterrupted run.

    python tests/kill.py --kills 200

Each task has runs that die of SIGKILL again and again: at a random time, or at a random call of
what writes, trains or scores. Workers and --save-every change from one start to the next.
"""

import argparse
import contextlib
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import forked
from extensions.features import TASKS
from forked import Fault, Project, differs, result

FLAGS = "--max-steps 9 --eval-every 4 --ema 0.5 --accumulate 2 --amp bf16 --keep 2".split()
# about as many calls as a run makes
CALLS = {"start": 1, "step": 8, "evaluate": 2, "save": 6}
CALLS |= {"write": 100, "fsync": 16, "replace": 8, "unlink": 14}


class Whole(NamedTuple):
    """The run that nothing interrupts."""

    result: dict[str, Any]
    seconds: float


def train_whole(project: Project, place: Path) -> Whole:
    done = project.train(place, *FLAGS, *project.random, "--run-dir", "whole")
    assert done.code == 0, done.err
    return Whole(result(place / "whole"), done.seconds)


def kill_and_resume(
    project: Project,
    place: Path,
    run: str,
    whole: Whole,
    chance: random.Random,
    first: Sequence[Fault] = (),
) -> list[str]:
    """Return what the run was doing whenever it was killed; it has ended like the whole one.

    It is killed at the `first` faults first, one in each start, and then at random.
    """
    planned = list(first)
    phases: list[str] = []
    last = place / run / "checkpoints" / "step-9.pt"
    flags = (*FLAGS, *project.random, "--run-dir", run, "--resume", "auto")
    while True:
        free = ("--workers", chance.choice("0012"), "--save-every", chance.choice("1124"))
        point = chance.choice(list(CALLS))
        faults = [Fault(point, chance.randint(1, CALLS[point]), "SIGKILL")]
        if planned:
            faults = [planned.pop(0)]
            done = project.train(place, *flags, *free, faults=faults)
        elif last.exists() and chance.random() < 0.7:  # nothing is left to do
            done = project.train(place, *flags, *free)
        elif chance.random() < 0.5:
            process = project.start(place, *flags, *free)
            done = process.wait(kill_after=chance.uniform(0, 1.2 * whole.seconds))
        else:
            done = project.train(place, *flags, *free, faults=faults)
        what = f"{run}, {faults}, {free}: {done}"
        if done.code == 0:
            break
        # its workers may complain once it is gone
        assert done.code == -9 and "looking for the one before" not in done.err, what
        phases.append(done.phase)
        assert_usable(place / run, what)
    assert not list((place / run).rglob("*.tmp")), what
    found = differs(result(place / run), whole.result)
    assert found is None, f"{what}\n{found}"
    return phases


def assert_usable(run: Path, what: str) -> None:
    """What a killed run leaves is whole where it says so, and not too much."""
    folder, storage = run / "checkpoints", import_module(f"{forked.PACKAGE}.engine.storage")
    assert len(list(folder.glob("*.tmp"))) <= 1, what
    steps = list(folder.glob("step-*.pt"))
    assert len(steps) <= 3, what  # one more than are kept
    for path in folder.glob("*.pt"):
        storage.read_archive(path, "meta")
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        found = newest_whole(run)
    assert not said.getvalue(), f"{said.getvalue()}: {what}"
    newest = max((int(path.stem[5:]) for path in steps), default=None)
    assert found == (folder / f"step-{newest}.pt" if steps else None), what


def newest_whole(run: Path) -> Path | None:
    return import_module(f"{forked.PACKAGE}.engine.checkpoint").newest_whole(run)


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill runs at random and compare their ends.")
    parser.add_argument("--kills", type=int, default=200, help="at least, over the tasks")
    parser.add_argument("--task", choices=TASKS, action="append", help="of these only")
    parser.add_argument("--seed", type=int, default=1, help="of where the kills fall")
    args = parser.parse_args()
    from releases import copy_parts

    began, chance = time.monotonic(), random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        template = copy_parts(Path(name) / "template")
        tasks = args.task or list(TASKS)
        for task in tasks:
            folder = forked.render(Path(name) / task, template, task)
            sys.path.insert(1, str(folder))  # the engine is the same for all tasks
            phases: list[str] = []
            runs = 0
            with Project(folder, task) as project:
                place = project.make_data(Path(name) / f"{task}-runs")
                whole = train_whole(project, place)
                while len(phases) * len(tasks) < args.kills:
                    phases += kill_and_resume(project, place, f"run-{runs}", whole, chance)
                    runs += 1
            where = ", ".join(f"{count} {phase}" for phase, count in Counter(phases).most_common())
            print(f"{task}: {runs} runs, {len(phases)} kills ({where}); all ends equal", flush=True)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
