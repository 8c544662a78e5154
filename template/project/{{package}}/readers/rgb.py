"""Images to look at."""

import torch
from torch import Tensor


def as_rgb(images: Tensor) -> Tensor:
    """(..., C, H, W) -> (..., 3, H, W) to look at: grey three times, else the first three."""
    grey = images.shape[-3] < 3
    return torch.cat([images[..., :1, :, :]] * 3, dim=-3) if grey else images[..., :3, :, :]
