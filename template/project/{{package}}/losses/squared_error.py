"""How far numbers are off, the far ones above all."""

import torch
from torch import Tensor, nn


class SquaredError(nn.Module):
    """(...) outputs, (...) targets -> scalar, the mean of the squared differences.

    They are measured in `unit`, so that the gradient does not depend on how the targets are scaled.
    """

    def __init__(self, unit: float = 1.0) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs - targets) / self.unit).square().mean()

    def count(self, targets: Tensor) -> Tensor:
        """Return how many numbers the mean is over."""
        return torch.full((), targets.numel(), device=targets.device)
