"""A residual block that makes an image smaller, and stretches differences little."""

import torch.nn.functional as F
from torch import Tensor, nn

from .spectral_norm import spectral_norm


class DownResidual(nn.Module):
    """(B, C, H, W) -> (B, C', H/2, W/2), without normalisation, but with that of the weights."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = spectral_norm(nn.Conv2d(channels_in, channels_out, 3, padding=1))
        self.second_convolution = spectral_norm(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        self.shortcut = spectral_norm(nn.Conv2d(channels_in, channels_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.second_convolution(F.relu(self.convolution(F.relu(x))))
        return F.avg_pool2d(y, 2) + self.shortcut(F.avg_pool2d(x, 2))
