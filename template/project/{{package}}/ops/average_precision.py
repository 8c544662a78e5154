"""How many of the boxes are found, at how many false alarms: COCO's average precision."""

import torch
from torch import Tensor

from .boxes import area, intersection, pairwise_iou
from .detections import Detections, detect
from .totals import totals

# the overlaps from which on a box counts as found, and the recalls at which the precision is read
OVERLAPS = 0.5 + torch.arange(10, dtype=torch.float64) * ((0.95 - 0.5) / 9)
RECALLS = torch.arange(101, dtype=torch.float64) * 0.01
COLUMNS = 3  # of a record, before those of the overlaps


class AveragePrecision:
    """`map` is the mean over classes and overlaps from 0.5 to 0.95, `map_50` that at 0.5.

    The numbers are those of COCO's own evaluation, for boxes of all sizes. A box marked as a crowd
    need not be found, and what is found there is not counted.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.reset()

    def reset(self) -> None:
        # the engine adds up the counters over all processes, and joins the rows of the records
        self.counters = torch.zeros(self.classes, dtype=torch.int64)  # boxes
        self.records = [totals(0, COLUMNS + len(OVERLAPS))]
        self.dtype = self.records[0].dtype

    def update(self, outputs: tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> None:
        """(B, L, K) logits, (B, L, 4) boxes, (B, L) centre-ness, ...; targets as for `add`."""
        self.add(detect(outputs), targets)

    def add(self, found: Detections, targets: tuple[Tensor, ...]) -> None:
        """(B, M, 4) boxes, (B, M) class ids, -1 where there is no box, (B, M) crowd, (B,) images.

        The number of an image decides between equal scores, as its id does for COCO.
        """
        boxes, labels, crowd, images = targets
        self.counters += labels[(labels >= 0) & ~crowd].bincount(minlength=self.classes)
        right = match(found, boxes.to(self.dtype), labels, crowd)  # (B, D, overlaps)
        rank = torch.arange(found.labels.shape[1], device=labels.device)
        place = images[:, None] * len(rank) + rank  # (B, D)
        columns = torch.stack((found.labels, found.scores, place), dim=2).to(self.dtype)
        self.records.append(torch.cat((columns, right), dim=2)[found.labels >= 0])

    def compute(self) -> dict[str, float]:
        rows = torch.cat(self.records).cpu().double()
        rows = rows[rows[:, 2].argsort(stable=True)]
        rows = rows[rows[:, 1].argsort(descending=True, stable=True)]
        scores = [
            average_precision(rows[rows[:, 0] == label, COLUMNS:].T.contiguous(), count)
            for label, count in enumerate(self.counters.tolist())
            if count  # a class that is nowhere can be found nowhere
        ]
        mean = torch.stack(scores).mean(dim=0) if scores else torch.zeros(len(OVERLAPS))
        return {"map": mean.mean().item(), "map_50": mean[0].item()}


def match(found: Detections, boxes: Tensor, labels: Tensor, crowd: Tensor) -> Tensor:
    """Return (B, D, overlaps): 1 for a box that is right, 0 for a wrong one, -1 for one in a crowd.

    The surest takes the box that it overlaps most, out of those of its class that are left.
    """
    # of boxes that overlap equally COCO takes the last, argmax the first
    boxes, labels, crowd = boxes.flip(1), labels.flip(1), crowd.flip(1)[:, None]
    guesses = found.boxes.to(boxes.dtype)
    inside = intersection(guesses[:, :, None], boxes[:, None]) / area(guesses)[..., None]
    overlap = torch.where(crowd, inside, pairwise_iou(guesses, boxes))  # (B, D, M)
    overlap = overlap.where(found.labels[..., None] == labels[:, None], 0.0)
    thresholds = OVERLAPS.to(overlap)[:, None]
    left = (~crowd).expand(-1, len(thresholds), -1).clone()  # (B, overlaps, M)
    in_crowd = (overlap[:, :, None] >= thresholds) & crowd[:, :, None]
    result = -in_crowd.any(dim=3).to(overlap.dtype)  # (B, D, overlaps)
    for rank in range(overlap.shape[1]):
        overlaps = overlap[:, rank, None] * left
        best, taken = overlaps.max(dim=2, keepdim=True)  # (B, overlaps, 1)
        right = best >= thresholds
        result[:, rank] = result[:, rank].where(~right[..., 0], 1.0)
        left.scatter_(2, taken, left.gather(2, taken) & ~right)
    return result


def average_precision(right: Tensor, boxes: int) -> Tensor:
    """(T, N) of 1, 0 and -1, the surest first -> (T,), the mean precision over all recalls."""
    hits, alarms = (right == 1).double().cumsum(1), (right == 0).double().cumsum(1)
    precision = hits / (hits + alarms + torch.finfo(torch.float64).eps)
    precision = precision.flip(1).cummax(1).values.flip(1) if right.shape[1] else precision
    # a recall that is never reached reads the 0 at the end
    precision = torch.cat((precision, precision.new_zeros(len(precision), 1)), dim=1)
    at = torch.searchsorted(hits / boxes, RECALLS.repeat(len(hits), 1))  # (T, recalls)
    return precision.gather(1, at).mean(dim=1)
