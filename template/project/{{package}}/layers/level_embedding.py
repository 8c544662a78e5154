"""A number as many waves."""

import math

import torch
from torch import Tensor, nn


class LevelEmbedding(nn.Module):
    """(B,) numbers in [0, 1] -> (B, D): sines and cosines of rising frequency, then two layers."""

    def __init__(self, dim: int, waves: int = 16) -> None:
        super().__init__()
        frequencies = torch.logspace(0, 2.5, waves) * math.pi / 2
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * waves, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, level: Tensor) -> Tensor:
        angles = level[:, None] * self.frequencies  # (B, waves)
        return self.layers(torch.cat((angles.sin(), angles.cos()), dim=1))
