"""Position as an angle."""

import torch
from torch import Tensor


def rotary_angles(length: int, dim: int, base: float = 10000.0) -> Tensor:
    """Return (T, D/2) angles: how far each pair of features has turned at each position."""
    frequencies = base ** (-torch.arange(0, dim, 2) / dim)
    return torch.outer(torch.arange(length), frequencies)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """(..., T, D), (T, D/2) -> (..., T, D); products of two such depend on their distance only."""
    a, b = x.to(angles.dtype).chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).type_as(x)
