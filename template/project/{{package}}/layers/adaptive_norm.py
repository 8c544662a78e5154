"""A style, put on an image."""

import torch.nn.functional as F
from torch import Tensor, nn


class AdaptiveInstanceNorm(nn.Module):
    """(B, C, H, W), (B, D) style -> (B, C, H, W); each channel gets the style's mean and spread."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.modulate = nn.Linear(dim, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.modulate(style)[:, :, None, None].chunk(2, dim=1)
        return F.instance_norm(x) * (1 + scale) + shift
