"""Weights that make rare classes count as much as frequent ones."""

from torch import Tensor


def balanced(labels: Tensor, classes: int) -> Tensor:
    """(N,) class ids -> (classes,) weights, whose sum over all samples is their number."""
    counts = labels.bincount(minlength=classes)
    return len(labels) / (classes * counts.clamp(min=1)).float()
