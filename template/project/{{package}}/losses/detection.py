"""How far a detector is from the boxes: their class, their edges, their middle."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

Targets = dict[str, Tensor]

NEAR = 1.5  # strides between a box's middle and the places that are to find it
PLACES = 9  # that so many strides hold: (2 * 1.5) ** 2
LONGEST = 4  # strides that a box is long on its level; the coarsest has all longer ones


class DetectionLoss(nn.Module):
    """What a detector says of every place, and the boxes -> scalar, the mean over the boxes.

    Outputs: (B, L, K) logits, (B, L, 4) boxes, (B, L) centre-ness, (B, L, 3) places: x, y, stride.
    Targets: (B, M, 4) boxes, (B, M) labels, -1 where there is no box, and (B, M) iscrowd.
    """

    def forward(self, outputs: tuple[Tensor, ...], targets: Targets) -> Tensor:
        logits, boxes, centreness, places = outputs
        places = places[0]  # the same for each image
        logits, centreness = logits.to(boxes.dtype), centreness.to(boxes.dtype)
        owner = assign(places, targets)  # (B, L)
        found, owner = owner >= 0, owner.clamp(min=0)
        true_boxes = targets["boxes"].gather(1, owner[..., None].expand(-1, -1, 4))
        middle = centrality(places[:, :2], true_boxes) * found  # (B, L)

        labels = targets["labels"].gather(1, owner).where(found, -1)
        ids = torch.arange(logits.shape[2], device=labels.device)
        there = (labels[..., None] == ids).to(logits.dtype)  # (B, L, K)
        classes = sigmoid_focal_loss(logits, there, reduction="sum")
        # a place in the middle of a box is trusted most, here and when scores are compared
        edges = (middle[found] * generalized_box_iou_loss(boxes[found], true_boxes[found])).sum()
        surprise = F.binary_cross_entropy_with_logits(centreness, middle, reduction="none")
        return (classes + edges + (found * surprise).sum()) / (PLACES * self.count(targets))

    def count(self, targets: Targets) -> Tensor:
        """Return how many boxes the mean is over; an image without any counts as one."""
        return wanted(targets).sum(dim=1).clamp(min=1).sum()


def wanted(targets: Targets) -> Tensor:
    """Return (B, M): which boxes are to be found; a crowd is no single thing."""
    return (targets["labels"] >= 0) & ~targets["iscrowd"]


def assign(places: Tensor, targets: Targets) -> Tensor:
    """Return (B, L): the number of the box that each place is to find, or -1.

    A box's length chooses the level, and its places are those near its middle; a thin box counts as
    twice as long as it is wide, so that its level has places inside it. A place that would do for
    several boxes takes the smallest.
    """
    boxes = targets["boxes"][:, None]  # (B, 1, M, 4)
    points, stride = places[:, None, :2], places[:, None, 2]  # (L, 1, 2), (L, 1)
    sides = boxes[..., 2:] - boxes[..., :2]
    shorter, longer = sides.aminmax(dim=-1)  # (B, 1, M)
    length = torch.minimum(longer, 2 * shorter)
    fits = (length <= LONGEST * stride) | (stride == stride.max())
    fits &= (length > LONGEST / 2 * stride) | (stride == stride.min())
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    fits &= ((points - middle).abs() < NEAR * stride[..., None]).all(dim=-1)
    fits &= ((points > boxes[..., :2]) & (points < boxes[..., 2:])).all(dim=-1)
    fits &= wanted(targets)[:, None]
    smallest, owner = sides.prod(dim=-1).where(fits, torch.inf).min(dim=2)  # (B, L)
    return owner.where(smallest < torch.inf, -1)


def centrality(points: Tensor, boxes: Tensor) -> Tensor:
    """(L, 2), (B, L, 4) -> (B, L): 1 in the middle of a box, 0 at its edges."""
    before, after = points - boxes[..., :2], boxes[..., 2:] - points
    shorter, longer = torch.minimum(before, after), torch.maximum(before, after)
    across, along = (shorter / longer.clamp(min=torch.finfo(boxes.dtype).tiny)).unbind(dim=-1)
    return (across.clamp(min=0) * along.clamp(min=0)).sqrt()
