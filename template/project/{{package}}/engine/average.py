"""A moving average of the weights, which often scores better than the weights themselves."""

from copy import deepcopy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


class Average(Generic[Net]):
    """Holds the averaged network as `net`; with decay 0 that is the trained network itself."""

    def __init__(self, net: Net, decay: float) -> None:
        self.decay = decay
        self.trained = net
        self.net = deepcopy(net).requires_grad_(False) if decay else net

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the trained weights, faster at first: the start is far off."""
        if not self.decay:
            return
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        averaged: list[Tensor] = list(self.net.parameters())
        trained: list[Tensor] = list(self.trained.parameters())
        torch._foreach_lerp_(averaged, trained, weight)
        for buffer, newest in zip(self.net.buffers(), self.trained.buffers(), strict=True):
            buffer.copy_(newest)

    def state_dict(self) -> dict[str, Any]:
        return self.net.state_dict() if self.decay else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.decay:
            self.net.load_state_dict(state)
