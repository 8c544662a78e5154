"""How well labels are found, of which a sample may have several or none."""

import torch
from torch import Tensor


class LabelScores:
    """Counts labels whose probability is 0.5 or more; all scores are shares, 0 to 1.

    `f1`, by label, is the share of right samples among those that have it or are said to, the right
    ones counted twice. `macro_f1` is its mean, but for labels that are nowhere, neither in truth
    nor in outputs; `micro_f1` is the same of all labels together. `exact` is the share of samples
    whose labels are all right.
    """

    def __init__(self, labels: int) -> None:
        self.labels = labels
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes: by label right, found and there; how
        # many samples are wholly right, and how many there are
        self.counters = torch.zeros(3 * self.labels + 2, dtype=torch.int64)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """(B, C) logits, (B, C) labels, 0 or 1."""
        found, there = outputs >= 0, targets > 0.5
        counts = [part.sum(dim=0) for part in (found & there, found, there)]
        exact = (found == there).all(dim=1)
        counts += [torch.stack((exact.sum(), torch.ones_like(exact).sum()))]
        self.counters += torch.cat(counts)

    def compute(self) -> dict[str, float | Tensor]:
        counts = self.counters.cpu().double()
        right, found, there = counts[:-2].view(3, self.labels)
        f1 = 2 * right / (found + there)  # NaN: nowhere
        micro = 2 * right.sum() / (found + there).sum().clamp(min=1)
        exact, samples = counts[-2:].tolist()
        return {
            "macro_f1": f1.nanmean().nan_to_num().item(),
            "micro_f1": micro.item(),
            "exact": exact / samples,
            "f1": f1,
        }
