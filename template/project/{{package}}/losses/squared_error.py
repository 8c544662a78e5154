"""How far numbers are off, the far ones above all."""

import torch
from torch import Tensor, nn


class SquaredError(nn.Module):
    """(...) outputs, (...) targets -> scalar, the mean of the squared differences."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean()

    def count(self, targets: Tensor) -> Tensor:
        """Return how many numbers the mean is over."""
        return torch.full((), targets.numel(), device=targets.device)
