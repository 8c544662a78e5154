"""How an image fades into noise."""

import math

import torch
from torch import Tensor

LEAST, MOST = 0.02, 0.98  # of a quarter turn: an image is never quite clean, and never quite gone


def signal_and_noise(level: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of the image and of the noise at levels in [0, 1].

    They are the cosine and the sine of an angle, so the variance stays what it is, and equal steps
    of the level are equal turns: the "cosine schedule".
    """
    angle = (LEAST + (MOST - LEAST) * level) * (math.pi / 2)
    return torch.cos(angle), torch.sin(angle)


def add_noise(images: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """(..., C, H, W) images and noise, (...) levels -> (..., C, H, W)."""
    signal, share = signal_and_noise(level[..., None, None, None])
    return signal * images + share * noise
