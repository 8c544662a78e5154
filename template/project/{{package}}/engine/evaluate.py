"""The test pass that the scripts share."""

import math
from typing import Any

import torch
from torch import nn

from .errors import DATA, DIVERGED, fail
from .loader import Loader
from .prefetch import prefetch
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
            with precision.autocast():
                outputs = net(inputs)
                loss = criterion(outputs, targets)
            count = criterion.count(targets)
            sums += torch.stack((loss * count, count))
            metric.update(outputs, targets)
        loss_sum, count = sum_over_processes(sums).tolist()
        metric.counters = sum_over_processes(metric.counters)
        if hasattr(metric, "records"):  # of a metric that has to see all samples at once
            records = gather([rows.cpu() for rows in metric.records])
            metric.records = [rows for process in records for rows in process]
    net.train(was_training)
    if not count:
        fail(DATA, "nothing in the test set has a target, so there is nothing to score")
    if math.isnan(loss_sum):
        fail(DIVERGED, "the test loss is NaN, so a weight or a test sample is; try a lower --lr")
    return {"loss": loss_sum / count, **metric.compute()}


def measure(net: nn.Module, loader: Loader, metric: Any, precision: Precision) -> dict[str, float]:
    """Return the metric alone, of outputs that no loss is taken of."""
    metric.reset(precision.device)
    for inputs, targets in prefetch(loader, precision.device):
        metric.update(predict(net, inputs, precision), targets)
    metric.counters = sum_over_processes(metric.counters)
    return metric.compute()


def predict(net: nn.Module, inputs: Any, precision: Precision) -> Any:
    """Return the outputs for one batch that is on the device already."""
    net = bare(net)
    was_training = net.training
    net.eval()
    with torch.inference_mode(), precision.autocast():
        outputs = net(inputs)
    net.train(was_training)
    return outputs
