"""How often the network is right."""

import torch
from torch import Tensor


class Accuracy:
    """Counts samples whose highest logit is their class; `accuracy` is a share, 0 to 1."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes
        self.counters = torch.zeros(2, dtype=torch.int64)  # right, all

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """(B, C) logits, (B,) class ids."""
        self.counters[0] += (outputs.argmax(dim=1) == targets).sum()
        self.counters[1] += targets.numel()

    def compute(self) -> dict[str, float]:
        right, seen = self.counters.tolist()
        return {"accuracy": right / seen}
