"""How far quantiles are from where they belong."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class QuantileLoss(nn.Module):
    """(B, H, Q) forecasts, ((B, H) values, NaN where one is missing, (B,) units) -> scalar.

    The mean over the values that are there, and over quantiles, of the pinball loss: a value above
    a quantile q costs q times its distance, one below 1 - q times. Each window counts in its own
    unit, so that series of any scale count alike.
    """

    def __init__(self, quantiles: Sequence[float]) -> None:
        super().__init__()
        self.quantiles = quantiles

    def forward(self, outputs: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
        values, units = targets
        missing = values.isnan()[..., None]
        errors = (values[..., None] - outputs) / units[:, None, None]  # (B, H, Q)
        errors = errors.masked_fill(missing, 0)
        total = errors.new_zeros(())
        for quantile, error in zip(self.quantiles, errors.unbind(dim=2), strict=True):
            total = total + torch.maximum(quantile * error, (quantile - 1) * error).sum()
        return total / (self.count(targets).clamp(min=1) * len(self.quantiles))

    def count(self, targets: tuple[Tensor, Tensor]) -> Tensor:
        """Return how many values the mean is over."""
        return (~targets[0].isnan()).sum()
