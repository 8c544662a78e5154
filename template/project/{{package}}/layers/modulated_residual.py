"""A residual block that is told something about the whole image."""

import torch.nn.functional as F
from torch import Tensor, nn


class ModulatedResidual(nn.Module):
    """(B, C, H, W), (B, D) embedding -> (B, C', H, W); the embedding scales and shifts channels."""

    def __init__(self, channels_in: int, channels_out: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels_in)
        self.convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.modulate = nn.Linear(dim, 2 * channels_out)
        self.second_norm = nn.GroupNorm(8, channels_out)
        self.second_convolution = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
        y = self.convolution(F.silu(self.norm(x)))
        y = self.second_norm(y) * (1 + scale) + shift
        return self.shortcut(x) + self.second_convolution(F.silu(y))
