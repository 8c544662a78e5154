"""A checkpoint's weights, for a script that uses them or a run that begins with them."""

import inspect
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from .errors import DIVERGED, MISMATCH, fail
from .processes import is_main_process
from .runtime import is_finite
from .storage import load_checkpoint

RUNS = Path("runs")


def newest_run(name: str = "step-*.pt*") -> Path | None:
    """Return the folder of the newest run that has such a checkpoint, a damaged one included."""
    found = RUNS.glob(f"*/checkpoints/{name}")
    newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    return newest.parent.parent if newest else None


def pick_checkpoint(path: Path | None, network: type[nn.Module]) -> dict[str, Any]:
    """Load a checkpoint of this network: the named one, a run's best, or the newest run's."""
    path = path or newest_run("best.pt")
    if path is None:
        fail(MISMATCH, f"no {RUNS}/*/checkpoints/best.pt here: train first, or name a checkpoint")
    checkpoint = load_checkpoint(path / "checkpoints" / "best.pt" if path.is_dir() else path)
    try:
        inspect.signature(network).bind(**checkpoint["model"])
    except TypeError:
        theirs = ", ".join(checkpoint["model"])
        path, name = checkpoint["path"], network.__name__
        fail(MISMATCH, f"{path}: of another network, made with {theirs}; {name} is not")
    return checkpoint


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
    if is_main_process():
        print(
            f"{path}: {len(fitting)} of {len(ours)} tensors taken over; "
            f"as they were: {listed(ours.keys() - fitting.keys())}; "
            f"not used of the file: {listed(theirs.keys() - fitting.keys())}"
        )


def listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def refuse_other_network(net: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Compare names and shapes before anything is loaded."""
    ours = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    refuse_difference(path, theirs, ours)


def refuse_difference(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for name in [*ours, *theirs]:
        here, there = ours.get(name, "missing"), theirs.get(name, "missing")
        if here != there:
            there, here = (shorten(str(value), 80, placeholder=" ...") for value in (there, here))
            line = f"{name} is {there}, here it is {here}"
            fail(MISMATCH, f"{path}: of another run or network; {line}")


def refuse_non_finite(weights: dict[str, Tensor], step: int) -> None:
    """End the run rather than write a checkpoint that no run could go on from."""
    if not weights:
        return
    finite = torch.stack([is_finite(tensor) for tensor in weights.values()]).tolist()
    if not all(finite):
        name = list(weights)[finite.index(False)]
        fail(DIVERGED, f"step {step}: {name} is not finite, so it is not saved; try a lower --lr")
