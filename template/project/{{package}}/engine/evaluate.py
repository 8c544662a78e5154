"""The test pass, predictions, and the best score so far."""

import math
from typing import Any

import torch
from torch import nn

from .errors import DATA, DIVERGED, USAGE, fail
from .loader import Loader, prefetch
from .processes import bare, gather, sum_over_processes
from .runtime import Precision, widest_float


def evaluate(
    net: nn.Module, loader: Loader, criterion: Any, metric: Any, precision: Precision
) -> dict[str, float]:
    """Return the loss and the metric over the whole set, the same for any number of processes."""
    net = bare(net)  # processes may have unequal shares, so they must not wait for each other
    device = precision.device
    was_training = net.training
    net.eval()
    metric.reset(device)
    sums = torch.zeros(2, dtype=widest_float(device), device=device)  # loss, elements
    with torch.inference_mode():
        for inputs, targets in prefetch(loader, device):
            outputs = predict(net, inputs, precision)
            with precision.autocast():
                loss = criterion(outputs, targets)
            count = criterion.count(targets)
            sums += torch.stack((loss * count, count))
            metric.update(outputs, targets)
        # on the CPU, where a process that is gone is noticed
        loss_sum, count = sum_over_processes(sums.cpu()).tolist()
        metric.counters = sum_over_processes(metric.counters.cpu()).to(device)
        if hasattr(metric, "records"):  # of a metric that has to see all samples at once
            records = gather([rows.cpu() for rows in metric.records])
            metric.records = [rows for process in records for rows in process]
    if was_training:
        train_mode(net)
    if not count:
        fail(DATA, "nothing in the test set has a target, so there is nothing to score")
    if math.isnan(loss_sum):
        fail(DIVERGED, "the test loss is NaN, so a weight or a test sample is; try a lower --lr")
    # a metric may return tensors of one number, or NumPy's
    return {"loss": loss_sum / count, **{k: float(v) for k, v in metric.compute().items()}}


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
    """Remembers the best score, and how many test passes ago it was."""

    def __init__(self, name: str, *, higher: bool, patience: int) -> None:
        self.name = name
        self.sign = 1 if higher else -1
        self.patience = patience
        self.score: float | None = None
        self.passes_since = 0

    def update(self, scores: dict[str, float]) -> bool:
        """Return whether these scores are the best so far."""
        if self.name not in scores:
            fail(USAGE, f"Best({self.name!r}) in train.py: the scores are {', '.join(scores)}")
        score = float(scores[self.name])  # the owner's may be NumPy's
        better = self.score is None or self.sign * score > self.sign * self.score
        better = better and not math.isnan(score)  # which nothing would beat
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
