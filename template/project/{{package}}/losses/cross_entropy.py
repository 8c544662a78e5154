"""How surprised the network is by the right class."""

import torch.nn.functional as F
from torch import Tensor, nn


class CrossEntropy(nn.Module):
    """(..., C) logits, (...) class ids -> scalar, the mean over the targets that count."""

    def __init__(self, label_smoothing: float = 0.0, ignore: int = -100) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.ignore = ignore

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        total = F.cross_entropy(
            outputs.flatten(0, -2),
            targets.flatten(),
            ignore_index=self.ignore,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        # where nothing counts the loss is 0; the mean that PyTorch takes would be NaN
        return total / self.count(targets).clamp(min=1)

    def count(self, targets: Tensor) -> Tensor:
        """Return how many targets the mean is over."""
        return targets.ne(self.ignore).sum()
