"""Which class is taken for which, pixel by pixel."""

import torch
from torch import Tensor


class Confusion:
    """Counts pixels; `mean_iou` and `pixel_accuracy` are shares, 0 to 1, as is `iou`, by class.

    The IoU of a class is the share of right pixels among those that are of it or taken for it. A
    class that is nowhere, neither in the truth nor in the outputs, is left out of the mean. The row
    of a class in `confusion` says how many of its pixels are taken for which.
    """

    def __init__(self, classes: int, ignore: int) -> None:
        self.classes = classes
        self.ignore = ignore
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes; a row is a true class
        self.counters = torch.zeros(self.classes, self.classes, dtype=torch.int64)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """(B, C, H, W) logits, (B, H, W) class numbers."""
        valid = targets.ne(self.ignore)
        cells = targets.long()[valid] * self.classes + outputs.argmax(dim=1)[valid]
        counts = cells.bincount(minlength=self.classes**2)
        self.counters += counts.view(self.classes, self.classes)

    def compute(self) -> dict[str, float | Tensor]:
        right = self.counters.diagonal()
        iou = right / (self.counters.sum(dim=0) + self.counters.sum(dim=1) - right)  # NaN: nowhere
        accuracy = right.sum() / self.counters.sum()
        scores = {"mean_iou": iou.nanmean().item(), "pixel_accuracy": accuracy.item()}
        return {**scores, "iou": iou, "confusion": self.counters}
