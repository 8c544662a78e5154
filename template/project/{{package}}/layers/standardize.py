"""Images as a network likes them."""

import torch
from torch import Tensor, nn

MEAN = (123.7, 116.3, 103.5)  # of ImageNet's pixels; near enough for most photographs
STD = (58.4, 57.1, 57.4)


class Standardize(nn.Module):
    """(B, C, H, W) bytes -> (B, C, H, W) around 0, with a spread of about 1.

    A layer rather than a transform: training, test, prediction and export then share it, and bytes
    are a quarter of what floats cost on their way to the device.
    """

    def __init__(
        self, channels: int = 3, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD
    ) -> None:
        super().__init__()
        if channels != len(mean):  # grey, with transparency, or of another camera
            mean, std = (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        if images.is_floating_point():  # nobody shall standardise twice
            way_out = "take Normalize, ToTensor or ToDtype(scale=True) out of the transforms"
            raise ValueError(f"Standardize takes bytes, 0 to 255, not {images.dtype}: {way_out}")
        return (images.to(self.mean.dtype) - self.mean) / self.std
