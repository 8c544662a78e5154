"""How far estimates are off, in the unit of what is estimated."""

import math

import torch
from torch import Tensor

from .totals import totals


class RegressionScores:
    """Counts numbers that were divided by `unit`.

    `rmse` is the root of the mean squared error, in the unit before that; `r2` is the share of the
    targets' variance that the outputs explain: 1 is all of it, 0 what their mean does.
    """

    score, higher = "rmse", False

    def __init__(self, unit: float = 1.0) -> None:
        self.unit = unit
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes: errors squared, targets, these
        # squared, how many
        self.counters = totals(4)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """(...) outputs, (...) targets."""
        targets = targets.to(self.counters.dtype)
        errors = outputs - targets
        sums = [errors.square().sum(), targets.sum(), targets.square().sum()]
        self.counters += torch.stack([*sums, torch.full_like(sums[0], targets.numel())])

    def compute(self) -> dict[str, float]:
        error, total, squares, count = self.counters.tolist()
        spread = squares - total * total / count
        alike = spread <= 1e-12 * squares  # all targets are the same, but for rounding
        r2 = 0.0 if alike else 1 - error / spread
        return {"rmse": self.unit * math.sqrt(error / count), "r2": r2}
