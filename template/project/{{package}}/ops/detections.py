"""From what a detector says of every place to a few boxes an image."""

from typing import NamedTuple

import torch
from torch import Tensor

from .boxes import pick, suppress


class Detections(NamedTuple):
    """The boxes found in each image, the surest first; label -1 and score 0 fill up the rest."""

    boxes: Tensor  # (B, D, 4), in pixels
    scores: Tensor  # (B, D)
    labels: Tensor  # (B, D)


def detect(
    outputs: tuple[Tensor, ...],
    least_score: float = 0.05,
    most_overlap: float = 0.6,
    candidates: int = 1000,
    most: int = 100,
    per_class: bool = True,
) -> Detections:
    """(B, L, K) logits, (B, L, 4) boxes, (B, L) centre-ness, ... -> Detections.

    Per class, as the average precision wants it, a thing may be found as several classes. About
    nine places find each thing, so there are many more candidates than boxes.
    """
    logits, boxes, centreness = outputs[:3]
    classes = logits.shape[2]
    # a place at a box's edge sees little of it, and its box is worse than its class
    likely = logits.to(boxes.dtype).sigmoid() * centreness.to(boxes.dtype).sigmoid()[..., None]
    scores = likely.sqrt().flatten(1)  # (B, L * K)
    scores, chosen = scores.topk(min(candidates, scores.shape[1]))  # (B, N)
    labels = chosen % classes
    boxes = pick(boxes, chosen // classes)
    rivals = labels if per_class else torch.zeros_like(labels)
    first, kept = suppress(boxes, rivals, scores > least_score, most_overlap, most)
    scores, labels = (values.gather(1, first) for values in (scores, labels))
    return Detections(pick(boxes, first), scores * kept, labels.where(kept, -1))
