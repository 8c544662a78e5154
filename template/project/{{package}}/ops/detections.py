"""From what a detector says of every place to a few boxes an image."""

import torch
from torch import Tensor
from torchvision.ops import batched_nms

Found = dict[str, Tensor]  # (D, 4) boxes, (D,) scores and labels of an image, the surest first


def detect(
    outputs: tuple[Tensor, ...],
    least_score: float = 0.05,
    most_overlap: float = 0.6,
    candidates: int = 1000,
    most: int = 100,
    per_class: bool = True,
) -> list[Found]:
    """(B, L, K) logits, (B, L, 4) boxes, (B, L) centre-ness, ... -> what is found in each image.

    Per class, as the average precision wants it, a thing may be found as several classes. About
    nine places find each thing, so there are many more candidates than boxes.
    """
    logits, boxes, centreness = outputs[:3]
    classes = logits.shape[2]
    # a place at a box's edge sees little of it, and its box is worse than its class
    likely = logits.to(boxes.dtype).sigmoid() * centreness.to(boxes.dtype).sigmoid()[..., None]
    scores = likely.sqrt().flatten(1)  # (B, L * K)
    scores, chosen = scores.topk(min(candidates, scores.shape[1]))  # (B, N)
    found = []
    for image_boxes, image_scores, places in zip(boxes, scores, chosen, strict=True):
        sure = image_scores > least_score
        part = {"boxes": image_boxes[places[sure] // classes], "scores": image_scores[sure]}
        part["labels"] = places[sure] % classes
        rivals = part["labels"] if per_class else torch.zeros_like(part["labels"])
        kept = batched_nms(part["boxes"], part["scores"], rivals, most_overlap)
        found.append({name: values[kept[:most]] for name, values in part.items()})
    return found
