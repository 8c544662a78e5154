"""Fine maps that know what the coarse ones know."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Pyramid(nn.Module):
    """Maps (B, C, H, W), the finest first -> as many maps (B, D, H, W) (a feature pyramid).

    What is added to a map comes from the coarser one, enlarged: small things are seen at full
    resolution, by layers that have seen what is around them.
    """

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.across = nn.ModuleList(nn.Conv2d(count, dim, 1) for count in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(dim, dim, 3, padding=1) for _ in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        levels = [across(x) for across, x in zip(self.across, maps, strict=True)]
        for fine in range(len(levels) - 2, -1, -1):
            size = levels[fine].shape[2:]
            levels[fine] = levels[fine] + F.interpolate(levels[fine + 1], size=size)
        return [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]
