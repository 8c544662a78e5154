"""How surprised the network is by the right class."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossEntropy(nn.Module):
    """(..., C) logits, (...) class ids or (..., C) shares of the classes -> scalar.

    The mean over the targets that count; with weights of the classes, the weighted mean.
    """

    def __init__(
        self, label_smoothing: float = 0.0, ignore: int = -100, weights: Tensor | None = None
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.ignore = ignore
        self.register_buffer("weights", weights)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        ids = not targets.is_floating_point()
        total = F.cross_entropy(
            outputs.flatten(0, -2),
            targets.flatten() if ids else targets.flatten(0, -2),
            weight=self.weights,
            ignore_index=self.ignore,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        # where nothing counts the loss is 0; the mean that PyTorch takes would be NaN
        count = self.count(targets)
        return total / count.where(count > 0, 1)

    def count(self, targets: Tensor) -> Tensor:
        """Return how many targets the mean is over, or what they weigh."""
        if targets.is_floating_point():
            return torch.full((), targets[..., 0].numel(), device=targets.device)
        counted = targets.ne(self.ignore)
        return counted.sum() if self.weights is None else self.weights[targets[counted]].sum()
