"""Bands of frequencies as wide as the ear tells them apart."""

import torch
from torch import Tensor


def mel_filters(rate: int, size: int, bands: int) -> Tensor:
    """Return (size // 2 + 1, bands) weights: what each frequency of a transform gives to a band.

    A band is a triangle, 1 at its own frequency and 0 at those of its neighbours, which are evenly
    spaced in mel from 0 to half the rate.
    """
    frequencies = torch.arange(size // 2 + 1, dtype=torch.float64) * rate / size
    mels = torch.linspace(0, to_mel(torch.tensor(rate / 2.0)).item(), bands + 2).double()
    edges = 700 * (10 ** (mels / 2595) - 1)  # Hz
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    up = (frequencies[:, None] - low) / (middle - low)
    down = (high - frequencies[:, None]) / (high - middle)
    filters = torch.minimum(up, down).clamp(min=0)
    empty = (filters.sum(dim=0) == 0).nonzero()
    if len(empty):
        raise ValueError(f"band {int(empty[0])} of {bands} holds none of {size} / 2 frequencies")
    return filters.float()


def to_mel(frequency: Tensor) -> Tensor:
    return 2595 * (1 + frequency / 700).log10()
