"""How far the network is from the noise that it looks for."""

import torch
from torch import Tensor, nn

from ..ops.noise_level import signal_and_noise


class NoiseError(nn.Module):
    """(B, C, H, W) found noise, ((B, C, H, W) noise, (B,) levels) -> scalar, the mean square.

    An image counts by 1 / signal^2: where little of it is left, a small mistake about the noise is
    a large one about the image, and the plain mean would hardly see it.
    """

    def forward(self, outputs: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
        noise, levels = targets
        signal, _ = signal_and_noise(levels.view(-1, 1, 1, 1))
        return ((outputs.to(noise.dtype) - noise) / signal).square().mean()

    def count(self, targets: tuple[Tensor, Tensor]) -> Tensor:
        """Return the number of images, which are all of one size."""
        _, levels = targets
        return torch.full((), len(levels), device=levels.device)
