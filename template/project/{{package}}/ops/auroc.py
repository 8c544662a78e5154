"""How well outputs rank samples by class."""

import torch
from torch import Tensor


class AUROC:
    """Keeps the outputs of all samples; `accuracy` and `auroc` are shares, 0 to 1.

    The AUROC of a class is the chance that a sample of it gets a higher probability of it than one
    of another class; equal ones count half. The mean is over the classes that have both kinds; 0.5,
    a guess, where none has.
    """

    score, higher = "auroc", True

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes, and joins the rows of the records
        self.counters = torch.zeros(2, dtype=torch.int64)  # right, all
        self.records = [torch.empty(0, self.classes + 1)]

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """(B, C) logits, (B,) class ids."""
        self.counters[0] += (outputs.argmax(dim=1) == targets).sum()
        self.counters[1] += targets.numel()
        self.records.append(torch.cat((outputs.float(), targets[:, None].float()), dim=1))

    def compute(self) -> dict[str, float]:
        right, seen = self.counters.tolist()
        rows = torch.cat(self.records).cpu()
        # in float64, so that few of those near 0 and 1 are the same number
        shares, targets = rows[:, :-1].double().softmax(dim=1), rows[:, -1]
        areas = []
        for label, share in enumerate(shares.unbind(dim=1)):
            ours = targets == label
            if ours.any() and not ours.all():
                areas.append(area(share, ours))
        return {"auroc": sum(areas) / len(areas) if areas else 0.5, "accuracy": right / seen}


def area(scores: Tensor, ours: Tensor) -> float:
    """(N,) scores, (N,) which are of the class -> the area under the curve, from the ranks."""
    _, places, counts = scores.unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(dim=0) - (counts - 1) / 2)[places]  # equal ones share their mean
    count = int(ours.sum())
    above = ranks[ours].double().sum().item() - count * (count + 1) / 2
    return above / (count * (len(scores) - count))
