"""How different two images are to a network that was trained to recognise things."""

import torch
from torch import Tensor, nn

MEAN = (123.675, 116.28, 103.53)  # what torchvision's networks were trained with
STD = (58.395, 57.12, 57.375)


class Perceptual(nn.Module):
    """(B, 3, H, W), (B, 3, H, W), both in 0..255 -> (B,); 0 where they are the same.

    The convolutions of a pretrained network are split into slices, each up to the next pooling. The
    mean differences of what comes out of them are added up. The network stays as it is: frozen, and
    always in evaluation mode.
    """

    def __init__(self, features: nn.Sequential, slices: int = 4) -> None:
        super().__init__()
        parts: list[nn.Sequential] = [nn.Sequential()]
        for layer in features:
            if isinstance(layer, nn.MaxPool2d):
                parts.append(nn.Sequential())
            # in place it would overwrite what the slice before gave
            parts[-1].append(nn.ReLU() if isinstance(layer, nn.ReLU) else layer)
        self.slices = nn.ModuleList(parts[:slices])
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Perceptual":
        return super().train(False)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        x, y = ((images - self.mean) / self.std for images in (outputs, targets))
        total = x.new_zeros(len(x))
        for part in self.slices:
            x, y = part(x), part(y)
            total = total + (x - y).abs().to(total.dtype).flatten(1).mean(dim=1)
        return total
