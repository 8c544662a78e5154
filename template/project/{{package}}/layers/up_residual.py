"""A residual block that makes an image larger."""

import torch.nn.functional as F
from torch import Tensor, nn

from .adaptive_norm import AdaptiveInstanceNorm


class UpResidual(nn.Module):
    """(B, C, H, W), (B, D) style -> (B, C', 2H, 2W)."""

    def __init__(self, channels_in: int, channels_out: int, dim: int) -> None:
        super().__init__()
        self.norm = AdaptiveInstanceNorm(channels_in, dim)
        self.convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.second_norm = AdaptiveInstanceNorm(channels_out, dim)
        self.second_convolution = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = F.interpolate(F.relu(self.norm(x, style)), scale_factor=2.0)
        y = F.relu(self.second_norm(self.convolution(y), style))
        shortcut = F.interpolate(self.shortcut(x), scale_factor=2.0)
        return shortcut + self.second_convolution(y)
