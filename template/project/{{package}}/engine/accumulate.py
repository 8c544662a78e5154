"""One optimizer step from several micro-batches, exactly."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .loader import Batch
from .processes import gradient_sync, sum_over_processes, world_size
from .runtime import mix, seed_noise, widest_float


def micro_batches(
    batch: Batch, net: nn.Module, criterion: Any, noise: tuple[int, int]
) -> Iterator[tuple[Any, Any, Tensor | float]]:
    """Yield inputs, targets and their share of the step.

    A mean of means is wrong when the parts differ in size. So each part's mean loss counts by its
    elements, out of those of the whole step over all processes; DDP divides the sum of gradients by
    the number of processes, and the share undoes that. `noise` is (seed, step): dropout depends on
    it and on the part's place in the step.
    """
    parts = batch.micro_batches
    shares: list[Any] = [1.0]
    if len(parts) > 1 or world_size() > 1:
        counts = torch.stack([criterion.count(targets) * batch.weight for _, targets in parts])
        counts = counts.to(widest_float(counts.device))
        total = sum_over_processes(counts.sum()).clamp(min=1)
        shares = list((counts * world_size() / total).unbind())
    for place, ((inputs, targets), share) in enumerate(zip(parts, shares, strict=True)):
        seed_noise(mix(*noise, batch.first + place))
        with gradient_sync(net, enabled=place == len(parts) - 1):
            yield inputs, targets, share
