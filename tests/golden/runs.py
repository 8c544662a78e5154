"""Small runs that the releases have left, and the same runs by the project of another release."""

import csv
import json
import re
import runpy
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from packaging.version import Version

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from forked import FLAGS, PACKAGE, Project, example  # noqa: E402

ANSWERS = {"package": PACKAGE, "parallel": "ddp", "logger": ["csv"]}
STEPS, SAVED = 20, 10
RUN = "run"
CHECKPOINT = f"{RUN}/checkpoints/step-{SAVED}.pt"
HARDWARE = ("--device", "cpu", "--amp", "none", "--workers", "0")

Numbers = dict[str, list[float]]


class Golden(NamedTuple):
    """A run of 20 steps in float64, with its checkpoint of step 10."""

    folder: Path
    train: list[str]  # the command
    networks: dict[str, dict[str, Any]]  # their arguments by their classes
    trace: Numbers  # the loss of each step, and the scores after steps 10 and 20

    @property
    def release(self) -> str:
        return self.folder.parent.name

    @property
    def task(self) -> str:
        return self.folder.name

    @property
    def made_from(self) -> str:
        """What another run must have in common with this one, to be the same."""
        data = (self.folder / "small.py").read_text(encoding="utf-8")
        return json.dumps([self.train, self.networks, data])

    @property
    def end(self) -> Numbers:
        """The trace after the checkpoint."""
        return {name: values[len(values) // 2 :] for name, values in self.trace.items()}

    def make_place(self, place: Path) -> Path:
        """Make a folder with the run's data."""
        place.mkdir(parents=True)
        runpy.run_path(str(self.folder / "small.py"))["make_data"](place)
        return place

    def put_checkpoint(self, place: Path) -> None:
        """Put the checkpoint where the run has left it."""
        path = place / CHECKPOINT
        path.parent.mkdir(parents=True)
        # releases before 0.4 kept a checksum beside it
        for file in self.folder.glob(f"step-{SAVED}.*"):
            shutil.copy(file, path.parent)

    def run(self, project: Project, place: Path, *flags: str) -> Numbers:
        """Do the run, with flags besides, and return its trace."""
        self.do(project, place, *self.train, *flags)
        return read_trace(place / RUN)

    def score(self, project: Project, place: Path) -> dict[str, float]:
        """Return what evaluate.py prints of the checkpoint."""
        printed = self.do(project, place, "evaluate.py", CHECKPOINT, *HARDWARE)
        lines = re.findall(r"^(\w+) (\S+)$", printed, re.MULTILINE)
        return {name: float(score) for name, score in lines}

    def do(self, project: Project, place: Path, *command: str) -> str:
        done = project.run(place, *command, networks=self.networks, double=True).wait()
        assert done.code == 0, f"{command}\n{done.out}\n{done.err}"
        return done.out


def releases() -> list[str]:
    """Return the releases that have left runs, the oldest first."""
    return sorted((path.parent.name for path in HERE.glob("*/custom")), key=Version)


def goldens(release: str) -> list[Golden]:
    """Return the runs of a release, one for each of its tasks."""
    return [read(path.parent) for path in sorted((HERE / release).glob("*/trace.json"))]


def read(folder: Path) -> Golden:
    return Golden(folder, **json.loads((folder / "trace.json").read_text(encoding="utf-8")))


def read_trace(run: Path) -> Numbers:
    found = defaultdict(list)
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["name"] == "train/loss" or row["name"].startswith("test/"):
                found[row["name"]].append(float(row["value"]))
    return dict(found)


def make(folder: Path, project: Project, place: Path) -> None:
    """Do a run by the project of its release, and write what it leaves into a new folder."""
    folder.mkdir(parents=True)
    shutil.copy(project.folder / "tests" / "small.py", folder)
    sizes = f"--accumulate 2 --max-steps {STEPS} --eval-every {SAVED} --save-every {SAVED} --keep 2"
    ours = f"{sizes} --ema 0 --run-dir {RUN}".split()
    train = ["train.py", *project.made_up["FLAGS"], *FLAGS, *project.random, *ours]
    networks = example(project.task).get("golden", project.networks)
    golden = Golden(folder, train, networks, {})
    trace = golden.run(project, golden.make_place(place))
    for file in (place / CHECKPOINT).parent.glob(f"step-{SAVED}.*"):
        shutil.copy(file, folder)
    content = {"train": train, "networks": networks, "trace": trace}
    (folder / "trace.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
