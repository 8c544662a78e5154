"""Where the noise is found, and where it is not."""

import torch
from torch import Tensor

from .totals import totals

BANDS = ("low", "middle", "high")


class NoiseBands:
    """The mean square error by thirds of the noise level; 1 is that of a network that finds none.

    A mean over all levels hides that the lowest, which make the details, are the hardest.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes
        self.counters = totals(2, len(BANDS))  # errors, images

    def update(self, outputs: Tensor, targets: tuple[Tensor, Tensor]) -> None:
        """(B, C, H, W) found noise; the true one, and (B,) levels in [0, 1)."""
        noise, levels = targets
        errors = (outputs.to(noise.dtype) - noise).square().flatten(1).mean(dim=1)
        bands = (len(BANDS) * levels).long().clamp(max=len(BANDS) - 1)
        self.counters[0].index_add_(0, bands, errors.to(self.counters.dtype))
        self.counters[1].index_add_(0, bands, torch.ones_like(errors, dtype=self.counters.dtype))

    def compute(self) -> dict[str, float]:
        """Leave out a band that no image fell into."""
        errors, images = self.counters.tolist()
        found = zip(BANDS, errors, images, strict=True)
        return {f"{band}_noise": error / seen for band, error, seen in found if seen}
