"""How surprised the network is by the labels, each by itself."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BinaryCrossEntropy(nn.Module):
    """(B, C) logits, (B, C) labels, 0 to 1 -> scalar, the mean over samples and labels.

    With weights, (C,), a label that is there costs so much more than one that is not.
    """

    def __init__(self, weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, targets, pos_weight=self.weights)

    def count(self, targets: Tensor) -> Tensor:
        """Return how many labels the mean is over."""
        return torch.full((), targets.numel(), device=targets.device)


def positive_weights(dataset: Any) -> Tensor:
    """Return (C,): how often each label is absent for once that it is there.

    A data set without `targets`, (N, C), is read once.
    """
    if hasattr(dataset, "targets"):
        targets = torch.as_tensor(dataset.targets)
    else:
        targets = torch.stack([dataset[index][1] for index in range(len(dataset))])
    there = targets.sum(dim=0)
    return (len(targets) - there) / there.clamp(min=1)
