"""Images as a network likes them."""

import torch
from torch import Tensor, nn


class Standardize(nn.Module):
    """(B, C, H, W) in 0..255 -> (B, C, H, W) around 0, with a spread of about 1.

    A layer rather than a transform: training, test, prediction and export then share it, and bytes
    are a quarter of what floats cost on their way to the device.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images.to(self.mean.dtype) - self.mean) / self.std
