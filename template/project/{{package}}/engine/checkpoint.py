"""Saving a run whole, and taking it up again."""

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .errors import MISMATCH, NOT_WRITTEN, fail, warn
from .launch import status
from .optimize import Average
from .prefetch import move
from .processes import is_main_process
from .storage import DamagedError, check, record_of, write_checkpoint
from .weights import refuse_difference, refuse_non_finite, refuse_other_network


class Checkpoints:
    """Writes and restores everything that has a state; random states follow from the step."""

    def __init__(
        self, folder: Path, state: dict[str, Any], about: dict[str, Any], every: int, keep: int
    ) -> None:
        self.folder = folder / "checkpoints"
        self.state = state
        self.about = about  # what rebuilds the network and its inputs
        self.every = every
        self.keep = keep
        self.waiting: dict[str, Any] = {}  # the best one, for which there was no space

    def due(self, step: int) -> bool:
        return step % self.every == 0

    def save(self, step: int, scores: dict[str, float] | None = None, best: bool = False) -> None:
        """Write step-<step>.pt, and best.pt if this is the best; then drop the oldest.

        Where that fails, the checkpoints before are whole, and the run goes on to the next.
        """
        if "guard" in self.state:
            self.state["guard"].end_if_diverged()
        if not is_main_process():
            return
        state = {name: part.state_dict() for name, part in self.state.items()}
        for name, part in self.state.items():
            if isinstance(part, (nn.Module, Average)):
                refuse_non_finite(state[name], step)
        about = {"step": step, "scores": scores or {}, "kinds": self.kinds(), **self.about}
        content = {**about, "state": state}
        if best:
            self.waiting = {"best.pt": content}
        self.drop_oldest()  # of a run that was killed before it came to that
        try:
            # the best one first: a run that dies in between repeats the step, and both
            for name, what in {**self.waiting, step_name(step): content}.items():
                write_checkpoint(what, self.folder / name)
        except DamagedError as error:
            fail(NOT_WRITTEN, f"step {step} cannot be saved: the state {error}")
        except OSError as error:
            # a copy, as training goes on
            self.waiting = deepcopy(move(self.waiting, torch.device("cpu")))
            status.not_saved(step, f"{self.folder}: {error.strerror or error}")
            return
        self.waiting = {}
        status.saved(step)
        self.drop_oldest()

    def drop_oldest(self) -> None:
        for path in saved_steps(self.folder)[self.keep :]:
            record_of(path).unlink(missing_ok=True)  # first: it says that the file is there
            path.unlink(missing_ok=True)

    def restore(self, checkpoint: dict[str, Any] | None) -> int:
        """Put every part back where it was; return the number of steps done."""
        if checkpoint is None:
            return 0
        path = checkpoint["path"]
        for about in ("model", "data"):
            refuse_difference(path, checkpoint[about], self.about[about])
        refuse_difference(path, self.kinds() | checkpoint.get("kinds", {}), self.kinds())
        for name, part in self.state.items():
            if name not in checkpoint["state"]:  # the project had no such part then
                continue
            if isinstance(part, nn.Module):
                refuse_other_network(part, checkpoint["state"][name], path)
            part.load_state_dict(checkpoint["state"][name])
        step = checkpoint["step"]
        if is_main_process():
            print(f"{path}: continues after step {step}")
        checkpoint.clear()  # or its weights would fill memory for as long as the run lasts
        return step

    def kinds(self) -> dict[str, str]:
        """Return the classes, as an optimizer would take over the state of another kind."""
        others = {k: part for k, part in self.state.items() if not isinstance(part, nn.Module)}
        return {name: type(part).__name__ for name, part in others.items()}


def step_name(step: int) -> str:
    return f"step-{step}.pt"


def saved_steps(folder: Path) -> list[Path]:
    """Return the checkpoints of a run's steps, the newest first; by number, not by a clock."""
    found = [path for path in folder.glob("step-*.pt") if path.stem[5:].isdecimal()]
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def newest_whole(run_folder: Path, before: float = math.inf, *, mend: bool = False) -> Path | None:
    """Return the newest checkpoint that is whole; None where none has been written.

    A damaged one is named, and with `mend` it is set aside.
    """
    folder = run_folder / "checkpoints"
    damaged = sorted(path.name for path in folder.glob("*.damaged"))
    for path in saved_steps(folder):
        if step_of(path) >= before:
            continue
        try:
            check(path)
            return path
        except (OSError, DamagedError) as error:
            warn(f"{path}: {error}; looking for the one before")
            damaged.append(path.name)
            if mend:
                set_aside(path, "damaged")
    if damaged:
        names = ", ".join(damaged)
        fail(MISMATCH, f"{folder}: no checkpoint is whole ({names}); another --run-dir begins anew")
    return None


def set_newer_aside(run_folder: Path, step: float) -> None:
    """Make way for a run that goes on from an earlier step."""
    for path in saved_steps(run_folder / "checkpoints"):
        if step_of(path) > step:
            set_aside(path, "newer")
            print(f"{path}: is of a later step; kept as {path.name}.newer")


def set_aside(path: Path, suffix: str) -> None:
    path.replace(path.with_name(f"{path.name}.{suffix}"))
    record_of(path).unlink(missing_ok=True)
