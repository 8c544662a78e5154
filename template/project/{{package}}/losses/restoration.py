"""How far restored images are from the true ones."""

import torch
from torch import Tensor, nn

from ..ops.total_variation import total_variation


class Restoration(nn.Module):
    """(B, 3, H, W) in 0..255, (B, 3, H, W) bytes -> scalar, the mean over the images.

    The mean absolute error in levels of 255, and with their weights the total variation of the
    outputs, which is high where they are noisy, and the perceptual loss, if there is one.
    """

    def __init__(
        self, variation: float = 0.0, perceptual: float = 0.0, loss: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.variation = variation
        self.perceptual = perceptual
        self.loss = loss

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = (outputs - targets).abs().flatten(1).mean(dim=1) / 255  # (B,)
        if self.variation:
            losses = losses + self.variation * total_variation(outputs) / 255
        if self.loss is not None:
            losses = losses + self.perceptual * self.loss(outputs, targets)
        return losses.mean()

    def count(self, targets: Tensor) -> Tensor:
        """Return how many images the mean is over."""
        return torch.full((), len(targets), device=targets.device)
