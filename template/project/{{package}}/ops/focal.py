"""A cross entropy that easy examples hardly take part in."""

import torch.nn.functional as F
from torch import Tensor


def focal(logits: Tensor, targets: Tensor, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """(...) logits, (...) targets 0 or 1 -> (...), the focal loss of each (Lin et al.).

    (1 - p) ** gamma is small where the right answer has a probability p near 1, so that thousands
    of places with nothing in them do not drown the few with something; alpha weighs the ones.
    """
    surprise = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    wrong = (targets - logits.sigmoid()).abs()
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * wrong**gamma * surprise
