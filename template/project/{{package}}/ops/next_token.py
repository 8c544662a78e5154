"""How well the network guesses the next token."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .totals import totals


class NextToken:
    """Counts tokens guessed right, and their surprise; `perplexity` is that of one token."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes
        self.counters = totals(3)  # nats, right, all

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """(B, T, V) logits, (B, T) token ids, -100 for those that do not count."""
        nats = F.cross_entropy(outputs.flatten(0, 1).float(), targets.flatten(), reduction="sum")
        right = (outputs.argmax(dim=2) == targets).sum()
        seen = targets.ne(-100).sum()
        self.counters += torch.stack((nats, right, seen)).to(self.counters.dtype)

    def compute(self) -> dict[str, float]:
        nats, right, seen = self.counters.tolist()
        return {"perplexity": math.exp(nats / seen), "accuracy": right / seen}
