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


def pick(boxes: Tensor, numbers: Tensor) -> Tensor:
    """(B, N, 4), (B, M) -> (B, M, 4)"""
    return boxes.gather(1, numbers[..., None].expand(-1, -1, 4))


def suppress(
    boxes: Tensor, labels: Tensor, left: Tensor, most_overlap: float, most: int
) -> tuple[Tensor, Tensor]:
    """(B, N, 4) boxes, the surest first, (B, N) class ids, (B, N) which count -> two of (B, most).

    Non-maximum suppression: the surest box that is left is kept, those of its class that overlap it
    go, and so on. Returned are the kept boxes' numbers, and whether there was still one. All images
    take a step at once, with no table of all pairs.
    """
    chosen, kept = [], []
    for _ in range(most):
        first = left.int().argmax(dim=1, keepdim=True)  # (B, 1)
        chosen.append(first)
        kept.append(left.gather(1, first))
        rivals = pairwise_iou(pick(boxes, first), boxes)[:, 0] > most_overlap
        left = (left & ~(rivals & (labels == labels.gather(1, first)))).scatter(1, first, False)
    return torch.cat(chosen, dim=1), torch.cat(kept, dim=1)
