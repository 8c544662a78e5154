"""Boxes (x1, y1, x2, y2): how far they overlap."""

import torch
from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)"""
    return spread(boxes[..., :2], boxes[..., 2:])


def spread(lower: Tensor, upper: Tensor) -> Tensor:
    """(..., 2), (..., 2) -> (...), the area between two corners; 0 if they are the wrong way."""
    width, height = (upper - lower).clamp(min=0).unbind(dim=-1)
    return width * height


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """(..., 4), (..., 4) -> (...), the area that both have."""
    lower = torch.maximum(a[..., :2], b[..., :2])
    return spread(lower, torch.minimum(a[..., 2:], b[..., 2:]))


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """(..., N, 4), (..., M, 4) -> (..., N, M), intersection over union; 0 where neither has any."""
    a, b = a[..., :, None, :], b[..., None, :, :]
    both = intersection(a, b)
    either = area(a) + area(b) - both
    return both / either.where(either > 0, 1)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """(..., 4), (..., 4) -> (...) in -1..1: the IoU, less the share of the hull that is in neither.

    Unlike the IoU it says how far apart two boxes are that do not touch.
    """
    both = intersection(a, b)
    either = area(a) + area(b) - both
    hull = spread(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    either, hull = (part.clamp(min=torch.finfo(a.dtype).tiny) for part in (either, hull))
    return both / either - (hull - either) / hull


def suppress(boxes: Tensor, labels: Tensor, most_overlap: float) -> Tensor:
    """(B, N, 4) boxes, the surest first, (B, N) class ids -> (B, N), whether each is kept.

    Non-maximum suppression: a box goes if it overlaps one of its class that is kept. All images
    take the same step at once, so it costs N small steps, whatever B is.
    """
    rivals = labels[:, :, None] == labels[:, None, :]
    rivals &= pairwise_iou(boxes, boxes) > most_overlap
    kept = torch.ones_like(labels, dtype=torch.bool)
    for place in range(labels.shape[1] - 1):
        later = slice(place + 1, None)
        kept[:, later] &= ~(rivals[:, place, later] & kept[:, place, None])
    return kept
