"""How well each class is found, the rare ones as much as the frequent."""

import torch
from torch import Tensor


class F1:
    """Counts samples; `accuracy` and `macro_f1` are shares, 0 to 1.

    The F1 of a class is the share of right samples among those that are of it or taken for it, the
    right ones counted twice. A class that is nowhere, neither in the truth nor in the outputs, is
    left out of the mean.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes: right, taken for it, of it
        self.counters = torch.zeros(3, self.classes, dtype=torch.int64)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """(B, C) logits, (B,) class ids."""
        found = outputs.argmax(dim=1)
        right = targets[found == targets]
        counts = [ids.bincount(minlength=self.classes) for ids in (right, found, targets)]
        self.counters += torch.stack(counts)

    def compute(self) -> dict[str, float]:
        right, found, there = self.counters.cpu().double()
        both = found + there
        scores = 2 * right[both > 0] / both[both > 0]
        accuracy = right.sum() / there.sum()
        return {"accuracy": accuracy.item(), "macro_f1": scores.mean().item()}
