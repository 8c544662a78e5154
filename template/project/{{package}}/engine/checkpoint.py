"""Saving a run whole, and taking it up again."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import MISMATCH, NOT_WRITTEN, fail
from .processes import is_main_process

FORMAT = 1
RUNS = Path("runs")


class Checkpoints:
    """Writes and restores everything that has a state; random states follow from the step."""

    def __init__(
        self, folder: Path, state: dict[str, Any], about: dict[str, Any], every: int
    ) -> None:
        self.folder = folder / "checkpoints"
        self.state = state
        self.about = about  # what rebuilds the network and its inputs
        self.every = every

    def due(self, step: int) -> bool:
        return step % self.every == 0

    def save(self, step: int, scores: dict[str, float] | None = None, best: bool = False) -> None:
        """Replace last.pt, and best.pt if this is the best."""
        if not is_main_process():
            return
        state = {name: part.state_dict() for name, part in self.state.items()}
        scores = scores or {}
        content = {"format": FORMAT, "step": step, "scores": scores, **self.about, "state": state}
        for name in ("best.pt", "last.pt") if best else ("last.pt",):
            write(content, self.folder / name)

    def restore(self, checkpoint: dict[str, Any] | None) -> int:
        """Put every part back where it was; return the number of steps done."""
        if checkpoint is None:
            return 0
        for name, part in self.state.items():
            if isinstance(part, nn.Module):
                refuse_other_network(part, checkpoint["state"][name], checkpoint["path"])
            part.load_state_dict(checkpoint["state"][name])
        step = checkpoint["step"]
        if is_main_process():
            print(f"{checkpoint['path']}: continues after step {step}")
        checkpoint.clear()  # or its weights would fill memory for as long as the run lasts
        return step


class Best:
    """Remembers the best score, and how many test passes ago it was."""

    def __init__(self, name: str, *, higher: bool, patience: int) -> None:
        self.name = name
        self.sign = 1 if higher else -1
        self.patience = patience
        self.score: float | None = None
        self.passes_since = 0

    def update(self, scores: dict[str, float]) -> bool:
        """Return whether these scores are the best so far."""
        score = scores[self.name]
        better = self.score is None or self.sign * score > self.sign * self.score
        if better:
            self.score = score
        self.passes_since = 0 if better else self.passes_since + 1
        return better

    def stale(self) -> bool:
        """Return whether --patience is over; 0 waits for ever."""
        return 0 < self.patience <= self.passes_since

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score, "passes_since": self.passes_since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.score, self.passes_since = state["score"], state["passes_since"]


def write(content: dict[str, Any], path: Path) -> None:
    """Write the file whole or not at all: a crash leaves the one that was there."""
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save turns a full disk into a RuntimeError
        reason = getattr(error.__context__ or error, "strerror", None) or error
        fail(NOT_WRITTEN, f"{path}: not written ({reason}); the checkpoint before it is whole")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the file's content, on the CPU."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        fail(MISMATCH, f"{path}: no such checkpoint")
    except OSError as error:
        fail(MISMATCH, f"{path}: {error.strerror}")
    except Exception as error:  # the unpickler raises whatever the bytes of such a file lead to
        fail(MISMATCH, f"{path}: not a checkpoint, or a damaged one ({type(error).__name__})")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        fail(MISMATCH, f"{path}: not a checkpoint of this project")
    content["path"] = path
    return content


def newest_checkpoint(name: str) -> Path | None:
    """Return the newest run's checkpoint of that name."""
    found = RUNS.glob(f"*/checkpoints/{name}")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def pick_checkpoint(path: Path | None) -> dict[str, Any]:
    """Load a checkpoint: the named one, or best.pt of the newest run."""
    path = path or newest_checkpoint("best.pt")
    if path is None:
        fail(MISMATCH, f"no {RUNS}/*/checkpoints/best.pt here: train first, or name a checkpoint")
    return load_checkpoint(path / "checkpoints" / "best.pt" if path.is_dir() else path)


def weights_of(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """Return the averaged weights where there are some, the trained ones otherwise."""
    return checkpoint["state"].get("average") or checkpoint["state"]["net"]


def restore_network(net: nn.Module, checkpoint: dict[str, Any]) -> None:
    weights = weights_of(checkpoint)
    refuse_other_network(net, weights, checkpoint["path"])
    net.load_state_dict(weights)


def init_from(net: nn.Module, path: Path | None) -> None:
    """Take over the weights that fit in name and shape, and say which do not."""
    if path is None:
        return
    theirs, ours = weights_of(load_checkpoint(path)), net.state_dict()
    fitting = {k: v for k, v in theirs.items() if k in ours and v.shape == ours[k].shape}
    if not fitting:
        fail(MISMATCH, f"--init-from {path}: no weight fits this network")
    net.load_state_dict(fitting, strict=False)
    left = ", ".join(sorted(ours.keys() - fitting.keys())) or "none"
    if is_main_process():
        print(f"{path}: {len(fitting)} of {len(ours)} tensors taken over; as they were: {left}")


def refuse_other_network(net: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Compare names and shapes before anything is loaded."""
    ours = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in [*ours, *theirs]:
        here, there = ours.get(name, "missing"), theirs.get(name, "missing")
        if here != there:
            fail(MISMATCH, f"{path}: of another network; {name} is {there}, here it is {here}")
