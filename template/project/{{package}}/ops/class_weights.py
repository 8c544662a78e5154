"""Weights that make rare classes count as much as frequent ones."""

from typing import Any

import torch
from torch import Tensor


def class_weights(dataset: Any, classes: int) -> Tensor:
    """Return (classes,) weights for the loss, whose mean over the samples is 1."""
    counts = labels_of(dataset).bincount(minlength=classes)
    return counts.sum() / (classes * counts.clamp(min=1)).float()


def sample_weights(dataset: Any, classes: int) -> Tensor:
    """Return (N,) weights to draw samples by, each class as often as the others."""
    return class_weights(dataset, classes)[labels_of(dataset)]


def labels_of(dataset: Any) -> Tensor:
    """Return the class ids of a data set; one without `labels` or `targets` is read once."""
    for name in ("labels", "targets"):
        if hasattr(dataset, name):
            return torch.as_tensor(getattr(dataset, name))
    return torch.tensor([int(dataset[index][1]) for index in range(len(dataset))])
