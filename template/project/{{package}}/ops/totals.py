"""Where a metric adds up."""

import torch
from torch import Tensor


def totals(*shape: int) -> Tensor:
    """Return zeros of the widest type that the device has: sums of millions of terms stay exact."""
    return torch.zeros(*shape, dtype=widest_float(torch.get_default_device()))


def widest_float(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
