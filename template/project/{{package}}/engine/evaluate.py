"""The pass over a set, predictions, and the best score so far."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from .errors import DATA, DIVERGED, USAGE, fail
from .loader import Loader, prefetch
from .optimize import elements
from .processes import bare, gather, is_main_process, sum_over_processes, world_size
from .runtime import Precision, looks, move, widest_float


def evaluate(
    net: nn.Module, loader: Loader, criterion: Any, metric: Any, precision: Precision
) -> dict[str, Any]:
    """Return the loss and the metric over the whole set, the same for any number of processes."""
    net = bare(net)  # processes may have unequal shares, so they must not wait for each other
    device = precision.device
    was_training = net.training
    net.eval()
    with device:  # on which it makes its counters
        metric.reset()
    sums = torch.zeros(2, dtype=widest_float(device), device=device)  # loss, elements
    with torch.inference_mode():
        for inputs, targets in prefetch(loader, device):
            outputs = predict(net, inputs, precision)
            with precision.autocast():
                loss = criterion(outputs, targets)
            count = elements(criterion, targets)
            sums += torch.stack((loss * count, count))
            metric.update(outputs, targets)
    # on the CPU, where a process that is gone is noticed
    loss_sum, count = sum_over_processes(sums.cpu()).tolist()
    add_up(metric)
    if was_training:
        train_mode(net)
    if not count:
        fail(DATA, "nothing in the set has a target, so there is nothing to score")
    if math.isnan(loss_sum):
        fail(DIVERGED, "the loss is NaN, so a weight or a sample is; try a lower --lr")
    return {"loss": loss_sum / count, **scores(metric)}


def add_up(metric: Any) -> None:
    """Add up the counters of all processes, and join their records; torchmetrics does so itself."""
    if hasattr(metric, "counters"):
        metric.counters = sum_over_processes(metric.counters.cpu())
    if hasattr(metric, "records"):  # of a metric that has to see all samples at once
        records = gather([rows.cpu() for rows in metric.records])
        metric.records = [rows for process in records for rows in process]


def scores(metric: Any) -> dict[str, Any]:
    """Return what the metric computes by name: floats; tensors of a number a class, or a matrix."""
    found = metric.compute()
    found = found if isinstance(found, dict) else {type(metric).__name__: found}
    return {name: plain(value) for name, value in found.items()}


def plain(value: Any) -> float | Tensor:
    if isinstance(value, (int, float)):  # NumPy's float64 among them
        return float(value)
    tensor = torch.as_tensor(value).cpu()
    return tensor if tensor.ndim else float(tensor)


def rehearse(
    net: nn.Module, loader: Loader, criterion: Any, metric: Any, precision: Precision
) -> dict[str, Any]:
    """Score a few samples before anything is trained, so that what does not fit is found now."""
    loss_name = getattr(criterion, "__name__", type(criterion).__name__)
    metric_name = type(metric).__name__
    if lacking := [n for n in ("reset", "update", "compute") if not hasattr(metric, n)]:
        fail(USAGE, f"metric {metric_name}: has no {lacking[0]}(), as those of torchmetrics have")
    sums_itself = hasattr(metric, "sync_on_compute") or isinstance(metric, nn.ModuleDict)
    if world_size() > 1 and not (sums_itself or hasattr(metric, "counters")):
        way_out = "give it `counters` that can be added up, or take one of torchmetrics"
        fail(USAGE, f"metric {metric_name}: sees the samples of one process only; {way_out}")
    modules: Any = metric.modules() if isinstance(metric, nn.Module) else ()
    states = [state for part in modules for state in getattr(part, "metric_state", {}).values()]
    if len(loader) < world_size() and any(isinstance(state, list) for state in states):
        fail(USAGE, f"metric {metric_name}: needs a batch in each process; lower --batch-size")
    counted = hasattr(criterion, "count") or isinstance(criterion, nn.CrossEntropyLoss)
    if not counted and is_main_process():
        print(f"loss {loss_name} has no count(targets): its mean is taken to be over the samples")
    inputs, targets = move(loader.examples(32), precision.device)
    outputs, part = None, "network"
    try:
        outputs = predict(net, inputs, precision)
        part = f"loss {loss_name}"
        with torch.inference_mode(), precision.autocast():
            loss = criterion(outputs, targets)
        if loss.ndim:
            fail(USAGE, f"{part}: gives {looks(loss)}, not one number; take its mean")
        part = f"metric {metric_name}"
        with precision.device:
            metric.reset()
        metric.update(outputs, targets)
        return {"loss": float(loss), **scores(metric)}
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        given = f"inputs {looks(inputs)}, outputs {looks(outputs)}, targets {looks(targets)}"
        reason = str(error).strip().partition("\n")[0]
        fail(USAGE, f"{part}: does not fit ({given}): {reason}")


def train_mode(net: nn.Module) -> None:
    """Set the training mode, but not of frozen parts, whose BatchNorm statistics would move."""
    net.train()
    for part in net.modules():
        trained = [parameter.requires_grad for parameter in part.parameters()]
        if trained and not any(trained):
            part.eval()


def predict(net: nn.Module, inputs: Any, precision: Precision) -> Any:
    """Return the outputs for one batch that is on the device already."""
    net = bare(net)
    was_training = net.training
    net.eval()
    with torch.inference_mode(), precision.autocast():
        outputs = net(inputs)
    if was_training:
        train_mode(net)
    return outputs


class Best:
    """Remembers the best score, and how many validations ago it was."""

    def __init__(self, name: str, *, higher: bool, patience: int) -> None:
        self.name = name
        self.sign = 1 if higher else -1
        self.patience = patience
        self.score: float | None = None
        self.passes_since = 0

    def update(self, scores: dict[str, Any]) -> bool:
        """Return whether these scores are the best so far."""
        score = self.pick(scores)
        better = self.score is None or self.sign * score > self.sign * self.score
        better = better and not math.isnan(score)  # which nothing would beat
        if better:
            self.score = score
        self.passes_since = 0 if better else self.passes_since + 1
        return better

    def pick(self, scores: dict[str, Any]) -> float:
        """Return the score that decides."""
        numbers = {k: float(score) for k, score in scores.items() if not getattr(score, "ndim", 0)}
        if self.name not in numbers:
            fail(USAGE, f"Best({self.name!r}) in train.py: it can be {', '.join(numbers)}")
        return numbers[self.name]

    def stale(self) -> bool:
        """Return whether --patience is over; 0 waits for ever."""
        return 0 < self.patience <= self.passes_since

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score, "passes_since": self.passes_since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.score, self.passes_since = state["score"], state["passes_since"]
