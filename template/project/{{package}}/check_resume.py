"""Prove, on this model and data, that a stop changes no later step.

python -m <package>.check_resume train.py --flags, which train.py --flags --check-resume calls
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .engine.errors import MISMATCH, USAGE, fail
from .engine.launch import launch
from .engine.processes import world_size
from .engine.storage import load_checkpoint

STOP, LAST = 3, 6  # steps; a validation follows every second one
FLAGS = ("--save-every=1", "--log-every=1", "--eval-every=2", f"--keep={LAST}")


def check_resume() -> None:
    """Train without a stop, and again from the checkpoint in the middle; compare every step."""
    command = [word for word in sys.argv if word != "--check-resume"]
    if not command or not Path(command[0]).is_file():
        fail(USAGE, "check_resume: name the script to check and its flags, as in train.py --lr 0.1")
    if world_size() > 1 or any(word.partition("=")[0] == "--resume" for word in command):
        fail(USAGE, "--check-resume: starts runs of its own; give neither torchrun nor --resume")
    with tempfile.TemporaryDirectory(prefix="check-resume-") as name:
        whole, resumed, again = (Path(name) / run for run in ("whole", "resumed", "again"))
        train(command, whole)
        train(command, resumed, f"--resume={checkpoint(whole, STOP)}")
        found = compare(whole, resumed)
        if found is not None:
            train(command, again)
            reason = likely_reason(found, compare(whole, again, first=1))
            line = f"step {found.step} differs in {found.part} at {found.where}"
            fail(MISMATCH, f"--check-resume: {line}; {reason}")
    message = f"steps {STOP + 1} to {LAST} are the same, bit for bit, after a stop at step {STOP}"
    print(f"--check-resume: {message}")


def train(command: list[str], folder: Path, *flags: str) -> None:
    """Run the command that was given, for a few steps in a folder of its own."""
    script, *given = command
    few = ["--eval-batches=2"] if "--eval-batches" not in " ".join(given) else []
    if "--patience" in Path(script).read_text(encoding="utf-8"):
        few.append("--patience=0")
    short = [*few, *FLAGS, f"--max-steps={LAST}", f"--run-dir={folder}", *flags]
    # its numbers are for nobody's eyes
    hidden = {"MLFLOW_TRACKING_URI", "WANDB_MODE"}
    surroundings = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, script, *given, *short]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        fail(done.returncode, f"--check-resume: a run of {LAST} steps ended: {' '.join(last)}")


def checkpoint(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step-{step}.pt"


class Difference(NamedTuple):
    step: int
    part: str  # of the state
    where: str  # in the part
    same_loss: bool  # of that step


def compare(folder: Path, other: Path, first: int = STOP + 1) -> Difference | None:
    """Return the first difference of two runs, if there is one."""
    for step in range(first, LAST + 1):
        contents = [load_checkpoint(checkpoint(run, step)) for run in (folder, other)]
        ours, theirs = ({**c["state"], "the scores": c["scores"]} for c in contents)
        for part, value in ours.items():
            where = differs(value, theirs[part])
            if where is not None:
                losses = {run["guard"]["loss"] for run in (ours, theirs)}
                return Difference(step, part, where, same_loss=len(losses) == 1)
    return None


def likely_reason(found: Difference, undisturbed: Difference | None) -> str:
    if undisturbed is not None:
        return (
            f"so do two runs without a stop, at step {undisturbed.step}: kernels that are not "
            "deterministic (try --deterministic), or a random generator without a seed"
        )
    if not found.same_loss:
        return (
            "its loss differs, too: the batch or the noise depends on what ran before, such as a "
            "generator, a cache or a counter in the data set or the network that no seed sets"
        )
    return "its loss is the same: something with a memory is not in train.py's `state`"


def differs(ours: Any, theirs: Any, path: str = "") -> str | None:
    """Return the path to the first value that is not equal, bit for bit."""
    if isinstance(ours, torch.Tensor):
        return None if torch.equal(ours, theirs) else path
    if isinstance(ours, (list, tuple)):
        ours, theirs = dict(enumerate(ours)), dict(enumerate(theirs))
    if not isinstance(ours, dict) or ours.keys() != theirs.keys():
        return None if ours == theirs else path
    for key, value in ours.items():
        where = differs(value, theirs[key], f"{path}.{key}".strip("."))
        if where is not None:
            return where
    return None


if __name__ == "__main__":
    sys.argv.pop(0)  # as if the script that is named had been called
    launch(check_resume)
