"""How uneven images are."""

from torch import Tensor


def total_variation(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (B,): the mean difference of neighbours, down a column and along a row."""
    down = (images[:, :, 1:] - images[:, :, :-1]).abs().flatten(1).mean(dim=1)
    along = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().flatten(1).mean(dim=1)
    return down + along
