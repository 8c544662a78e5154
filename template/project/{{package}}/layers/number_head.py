"""A number in the target's own unit."""

import torch
from torch import Tensor, nn


class NumberHead(nn.Module):
    """(B, features) -> (B, 1), float32.

    The linear layer learns the number as those to train on are scaled: less their mean, in units of
    their standard deviation.
    """

    def __init__(self, features: int, mean: float = 0.0, unit: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("unit", torch.tensor(unit))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # bf16 has but 256 steps an octave
            return self.mean + self.unit * self.linear(x.to(self.mean.dtype))
