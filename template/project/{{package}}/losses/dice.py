"""How far the classes of pixels are from the true ones: pixel by pixel, and class by class."""

import torch
from torch import Tensor, nn

from ..ops.one_hot import one_hot


class DiceCrossEntropy(nn.Module):
    """(B, C, H, W) logits, (B, H, W) class numbers -> scalar, the mean over the images.

    In cross entropy all pixels weigh alike, so small classes hardly count. In Dice, the overlap of
    what is found with what is there, all classes do; it is added with its weight. Pixels of the
    class `ignore` are in neither, and images of nothing else do not count.
    """

    def __init__(self, ignore: int, dice: float = 1.0) -> None:
        super().__init__()
        self.dice = dice
        self.ignore = ignore

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        truth = one_hot(targets, outputs.shape[1])  # (B, C, H, W)
        valid = targets[:, None] != self.ignore  # (B, 1, H, W)
        logs = outputs.log_softmax(dim=1)
        pixels = valid.sum(dim=(1, 2, 3)).clamp(min=1)
        losses = -(logs * truth).sum(dim=(1, 2, 3)) / pixels  # (B,)
        if self.dice:
            found = logs.exp() * valid
            both = (found * truth).sum(dim=(2, 3))  # (B, C)
            either = found.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
            # one pixel more on both sides: a class that is neither there nor found is right
            overlap = (2 * both + 1) / (either + 1)
            losses = losses + self.dice * (1 - overlap).mean(dim=1)
        # where nothing is labelled both parts are 0
        return losses.sum() / self.count(targets).clamp(min=1)

    def count(self, targets: Tensor) -> Tensor:
        """Return how many images the mean is over."""
        return targets.ne(self.ignore).flatten(1).any(dim=1).sum()
