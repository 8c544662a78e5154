"""How good forecasts are, and how honest about what they do not know."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .totals import totals


class ForecastScores:
    """Counts the values that are there.

    `mase` is the mean distance to the median, in units of the seasonal naive forecast's; below 1 is
    better than repeating the season before. `coverage_90` is the share of values, 0 to 1, between
    the quantiles 0.05 and 0.95, which is 0.9 where they are right; likewise for other pairs.
    """

    def __init__(self, quantiles: Sequence[float]) -> None:
        self.quantiles = quantiles
        self.pairs = [(low, len(quantiles) - 1 - low) for low in range(len(quantiles) // 2)]
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes: distance, values, those in each pair
        self.counters = totals(2 + len(self.pairs))

    def update(self, outputs: Tensor, targets: tuple[Tensor, Tensor]) -> None:
        """(B, H, Q) forecasts, ((B, H) values, NaN where one is missing, (B,) units)."""
        values, units = targets
        there = ~values.isnan()
        median = outputs[..., self.quantiles.index(0.5)]
        distance = (values - median).abs() / units[:, None]
        sums = [distance.masked_fill(~there, 0).sum(), there.sum()]
        for low, high in self.pairs:
            inside = (outputs[..., low] <= values) & (values <= outputs[..., high])
            sums.append(inside.sum())  # nothing is inside where a value is missing
        self.counters += torch.stack(sums).to(self.counters.dtype)

    def compute(self) -> dict[str, float]:
        distance, count, *inside = self.counters.tolist()
        scores = {"mase": distance / count}
        for (low, high), number in zip(self.pairs, inside, strict=True):
            share = 100 * (self.quantiles[high] - self.quantiles[low])
            scores[f"coverage_{share:g}"] = number / count
        return scores
