"""Windows of any series, brought to one scale by themselves."""

import torch
from torch import Tensor


def scale_window(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, L), NaN where a value is missing -> (B, L) scaled, (B, L) known, (B, 1) mean, spread.

    The scaled values have mean 0 and spread 1, and are 0 where one is missing. Each window's scale
    comes from its own values: nothing of the future or of other series is in it. The spread of a
    window without change is 0, in any unit.
    """
    known = ~values.isnan()
    count = known.sum(dim=1, keepdim=True).clamp(min=1)
    mean = torch.where(known, values, 0).sum(dim=1, keepdim=True) / count
    rest = torch.where(known, values - mean, 0)
    spread = (rest.square().sum(dim=1, keepdim=True) / count).sqrt()
    rounding = 8 * torch.finfo(values.dtype).eps * mean.abs()  # that of the mean is all there is
    spread = torch.where(spread > rounding, spread, 0)
    return rest / torch.where(spread > 0, spread, torch.inf), known, mean, spread
