"""Saving a run whole, and taking it up again; a checkpoint's weights for other scripts and runs."""

import inspect
import io
import re
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from .errors import DIVERGED, MISMATCH, NOT_WRITTEN, fail, warn
from .launch import status
from .processes import is_main_process
from .storage import DamagedError, load_checkpoint, read_archive, write_checkpoint

RUNS = Path("runs")
# what DistributedDataParallel and torch.compile put before the names of weights
WRAPPERS = re.compile(r"(?<![^.])(module|_orig_mod)\.")


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

    def save(self, step: int, scores: dict[str, Any] | None = None, best: bool = False) -> None:
        """Write step-<step>.pt, and best.pt if this is the best; on a full disk the run goes on."""
        if "guard" in self.state:
            self.state["guard"].end_if_diverged()
        if not is_main_process():
            return
        state = {name: part.state_dict() for name, part in self.state.items()}
        for name, part in self.state.items():
            weights = state[name] if isinstance(part, nn.Module) or name == "average" else {}
            if key := not_finite(weights):
                fail(DIVERGED, f"step {step}: {key} of {name} is not finite; try a lower --lr")
        found = (scores or {}).items()  # numbers of any library; those by class are in the log
        numbers = {name: float(score) for name, score in found if not getattr(score, "ndim", 0)}
        content = {"step": step, "scores": numbers, "kinds": self.kinds(), "state": state}
        content |= self.about
        if best:
            self.waiting = {"best.pt": content}
        self.drop_oldest()  # of a run that was killed before it came to that
        try:
            # the best one first: a run that dies in between repeats the step, and both
            for name, what in {**self.waiting, f"step-{step}.pt": content}.items():
                write_checkpoint(what, self.folder / name)
            self.waiting = {}
            status.saved(step)
        except DamagedError as error:
            fail(NOT_WRITTEN, f"step {step} cannot be saved: it {error}")
        except OSError as error:
            copy = io.BytesIO()  # because training goes on
            torch.save(self.waiting, copy)
            copy.seek(0)
            self.waiting = torch.load(copy, map_location="cpu", weights_only=True)
            status.not_saved(step, f"{self.folder}: {error.strerror or error}")
        self.drop_oldest()

    def drop_oldest(self) -> None:
        for path in list(saved_steps(self.folder).values())[self.keep :]:
            path.unlink(missing_ok=True)

    def restore(self, checkpoint: dict[str, Any] | None) -> int:
        """Put every part back where it was; return the number of steps done."""
        if checkpoint is None:
            return 0
        path, step, saved = (checkpoint[part] for part in ("path", "step", "state"))
        if step < 1:
            fail(MISMATCH, f"{path}: holds no step to go on from; --init-from takes its weights")
        for about in ("model", "data"):
            refuse_difference(path, checkpoint[about], self.about[about])
        refuse_difference(path, self.kinds() | checkpoint["kinds"], self.kinds())
        for name, part in self.state.items():
            if isinstance(part, nn.Module) and (name in saved or name == "net"):
                load_weights(part, saved.get(name), path)
            elif saved.get(name):  # a scaler that was off has no state, a newer part is not there
                try:
                    part.load_state_dict(saved[name])
                except Exception as error:  # as many kinds as there are classes
                    fail(MISMATCH, f"{path}: {name} cannot take over its state: {error!r}")
        if is_main_process():
            print(f"{path}: continues after step {step}")
        checkpoint.clear()  # or its weights would fill memory for as long as the run lasts
        return step

    def kinds(self) -> dict[str, str]:
        """Return the classes, as an optimizer would take over the state of another kind."""
        others = {k: part for k, part in self.state.items() if not isinstance(part, nn.Module)}
        return {name: type(part).__name__ for name, part in others.items()}


def saved_steps(folder: Path) -> dict[int, Path]:
    """Return the checkpoints of a run's steps, the newest first; by number, not by a clock."""
    found = {path.stem[5:]: path for path in folder.glob("step-*.pt")}
    return dict(sorted(((int(n), p) for n, p in found.items() if n.isdecimal()), reverse=True))


def newest_whole(run_folder: Path) -> Path | None:
    """Return the newest checkpoint that is whole, and name damaged ones before it."""
    saved = saved_steps(run_folder / "checkpoints")
    for path in saved.values():
        try:
            read_archive(path, "meta")  # all of it, but keeps no values
            return path
        except (OSError, DamagedError) as error:
            warn(f"{path}: {error}; looking for the one before")
    if saved:
        names = ", ".join(path.name for path in saved.values())
        fail(MISMATCH, f"{run_folder}: no checkpoint is whole ({names}); choose another --run-dir")
    return None


def set_newer_aside(run_folder: Path, step: float) -> None:
    """Make way for a run that goes on from an earlier step, as where the newest is damaged."""
    for later, path in saved_steps(run_folder / "checkpoints").items():
        if later > step:
            path.replace(f"{path}.newer")
            print(f"{path}: is of a later step; kept as {path.name}.newer")


def newest_run(name: str = "step-*.pt*") -> Path | None:
    """Return the folder of the newest run that has such a checkpoint, a damaged one included."""
    found = RUNS.glob(f"*/checkpoints/{name}")
    newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    return newest.parent.parent if newest else None


class Saved(dict[str, Any]):
    """What a checkpoint says of its model or data; asking for what it lacks ends the script."""

    def __init__(self, values: dict[str, Any], place: str) -> None:
        super().__init__(values)
        self.place = place

    def __missing__(self, name: str) -> NoReturn:
        fail(MISMATCH, f"{self.place} has no {name!r}, which this script asks for: make it fit")


def pick_checkpoint(path: Path | None, network: type[nn.Module]) -> dict[str, Any]:
    """Load a checkpoint of this network: the named one, a run's best, or the newest run's."""
    path = path or newest_run("best.pt")
    if path is None:
        fail(MISMATCH, f"no {RUNS}/*/checkpoints/best.pt here: train first, or name a checkpoint")
    checkpoint = load_checkpoint(path / "checkpoints" / "best.pt" if path.is_dir() else path)
    try:
        inspect.signature(network).bind(**checkpoint["model"])
    except TypeError as error:
        fail(MISMATCH, f"{checkpoint['path']}: of another network; {network.__name__} {error}")
    for part in ("model", "data", "config"):
        checkpoint[part] = Saved(checkpoint[part], f"{checkpoint['path']}: {part}")
    return checkpoint


def weights_of(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """Return the averaged weights where there are some, the trained ones otherwise."""
    return checkpoint["state"].get("average") or checkpoint["state"].get("net", {})


def restore_network(net: nn.Module, checkpoint: dict[str, Any]) -> None:
    load_weights(net, weights_of(checkpoint), checkpoint["path"])


def load_weights(net: nn.Module, weights: Any, path: Path) -> None:
    """Load the weights of this network; names and shapes are compared before any is changed."""
    weights = unwrapped(weights, net, path)
    theirs, ours = ({k: tuple(v.shape) for k, v in w.items()} for w in (weights, net.state_dict()))
    refuse_difference(path, theirs, ours)
    net.load_state_dict(weights)


def init_from(net: nn.Module, path: Path | None) -> None:
    """Take over the weights that fit in name and shape, and say which stay as they were."""
    if path is None:
        return
    ours, theirs = net.state_dict(), unwrapped(weights_of(load_checkpoint(path)), net, path)
    fitting = {k: v for k, v in theirs.items() if k in ours and v.shape == ours[k].shape}
    if not fitting:
        fail(MISMATCH, f"--init-from {path}: no weight fits this network")
    net.load_state_dict(fitting, strict=False)
    if is_main_process():
        kept = ", ".join(sorted(ours.keys() - fitting.keys())) or "none"
        print(f"{path}: {len(fitting)} of {len(ours)} tensors taken over; as they were: {kept}")


def unwrapped(weights: Any, net: nn.Module, path: Path) -> dict[str, Tensor]:
    """Return finite weights by the network's own names."""
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        fail(MISMATCH, f"{path}: holds no weights of a network")
    if key := not_finite(weights):
        fail(MISMATCH, f"{path}: {key} is not finite")
    ours = net.state_dict()
    return {k if k in ours else WRAPPERS.sub("", k): weight for k, weight in weights.items()}


def not_finite(weights: dict[str, Tensor]) -> str | None:
    """Return the name of the first weight that holds a NaN or an infinity; waits for the device."""
    return next((name for name, weight in weights.items() if not weight.isfinite().all()), None)


def refuse_difference(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for name in [*ours, *theirs]:
        here, there = ours.get(name, "missing"), theirs.get(name, "missing")
        if here != there:
            line = f"{name} is {there!s:.80}, here it is {here!s:.80}"
            fail(MISMATCH, f"{path}: of another run or network; {line}")
