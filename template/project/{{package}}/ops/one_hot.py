"""Class numbers as ones and zeros."""

import torch
from torch import Tensor


def one_hot(ids: Tensor, classes: int) -> Tensor:
    """(B, ...) class numbers -> (B, classes, ...) true where the class is that one.

    A number of no class, as one that is to be ignored, is true nowhere; PyTorch's own refuses it.
    """
    numbers = torch.arange(classes, device=ids.device)
    return ids.unsqueeze(1) == numbers.view(-1, *[1] * (ids.ndim - 1))
