"""How many of the boxes are found, at how many false alarms: COCO's average precision."""

import torch
from torch import Tensor
from torchvision.ops import box_area

from .detections import Found, detect
from .totals import totals

# the overlaps from which on a box counts as found, and the recalls at which the precision is read
OVERLAPS = 0.5 + torch.arange(10, dtype=torch.float64) * ((0.95 - 0.5) / 9)
RECALLS = torch.arange(101, dtype=torch.float64) * 0.01
COLUMNS = 3  # of a record, before those of the overlaps: label, score, image


class AveragePrecision:
    """`map` is the mean over classes and overlaps from 0.5 to 0.95, `map_50` that at 0.5.

    `ap` is the first by class, NaN for a class that is nowhere.

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

    def update(self, outputs: tuple[Tensor, ...], targets: dict[str, Tensor]) -> None:
        """(B, L, K) logits, (B, L, 4) boxes, (B, L) centre-ness, ...; targets as for `add`."""
        self.add(detect(outputs), targets)

    def add(self, found: list[Found], targets: dict[str, Tensor]) -> None:
        """(B, M, 4) boxes, (B, M) labels, -1 where there is no box, (B, M) iscrowd, (B,) image_id.

        The number of an image decides between equal scores, as its id does for COCO.
        """
        boxes, labels, crowd = targets["boxes"], targets["labels"], targets["iscrowd"]
        self.counters += labels[(labels >= 0) & ~crowd].bincount(minlength=self.classes)
        truth = zip(boxes.to(self.dtype), labels, crowd, strict=True)
        for guesses, true, image in zip(found, truth, targets["image_id"], strict=True):
            right = match(guesses, *true)  # (D, overlaps)
            about = (guesses["labels"], guesses["scores"], image.expand(len(right)))
            columns = torch.stack([values.to(self.dtype) for values in about], dim=1)
            self.records.append(torch.cat((columns, right), dim=1))

    def compute(self) -> dict[str, float | Tensor]:
        rows = torch.cat(self.records).cpu().double()
        rows = rows[rows[:, 2].argsort(stable=True)]
        rows = rows[rows[:, 1].argsort(descending=True, stable=True)]
        scores = torch.full((self.classes, len(OVERLAPS)), torch.nan, dtype=torch.float64)
        for label, count in enumerate(self.counters.tolist()):
            if count:  # a class that is nowhere can be found nowhere
                right = rows[rows[:, 0] == label, COLUMNS:].T.contiguous()
                scores[label] = average_precision(right, count)
        mean = scores.nanmean(dim=0).nan_to_num()  # 0 where there is nothing at all
        found = {"map": mean.mean().item(), "map_50": mean[0].item()}
        return {**found, "ap": scores.mean(dim=1)}


def match(found: Found, boxes: Tensor, labels: Tensor, crowd: Tensor) -> Tensor:
    """Return (D, overlaps): 1 for a box that is right, 0 for a wrong one, -1 for one in a crowd.

    The surest takes the box that it overlaps most, out of those of its class that are left.
    """
    # of boxes that overlap equally COCO takes the last, max the first
    boxes, labels, crowd = boxes.flip(0), labels.flip(0), crowd.flip(0)
    guesses = found["boxes"].to(boxes.dtype)
    lower = torch.maximum(guesses[:, None, :2], boxes[:, :2])
    upper = torch.minimum(guesses[:, None, 2:], boxes[:, 2:])
    both = (upper - lower).clamp(min=0).prod(dim=2)  # (D, M)
    own = box_area(guesses)[:, None]
    # in a crowd, which has no edges of its own, the guess alone counts
    either = own.where(crowd, own + box_area(boxes) - both)
    overlap = both / either.where(either > 0, 1)
    overlap = overlap.where(found["labels"][:, None] == labels, 0.0)
    thresholds = OVERLAPS.to(overlap)[:, None]
    in_crowd = (overlap[:, None] >= thresholds) & crowd  # (D, overlaps, M)
    result = -in_crowd.any(dim=2).to(boxes.dtype)
    left = (~crowd).repeat(len(thresholds), 1)  # (overlaps, M)
    near = ((overlap >= OVERLAPS[0]) & ~crowd).any(dim=1)
    for rank in near.nonzero()[:, 0].tolist():  # the others can be right nowhere
        best, taken = (overlap[rank] * left).max(dim=1, keepdim=True)  # (overlaps, 1)
        right = best >= thresholds
        result[rank] = result[rank].where(~right[:, 0], 1.0)
        left.scatter_(1, taken, left.gather(1, taken) & ~right)
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
