"""The average precision of a project, against COCO's own program on the same boxes."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

OPS = Path(__file__).parent.parent / "template" / "project" / "{{package}}" / "ops"
CLASSES = 4


@pytest.fixture(scope="module")
def ops() -> Iterator[ModuleType]:
    """The module, which is no template, so that it needs no project around it."""
    where = {"submodule_search_locations": [str(OPS)]}
    spec = importlib.util.spec_from_file_location("detection_ops", OPS / "__init__.py", **where)
    assert spec is not None
    sys.modules["detection_ops"] = importlib.util.module_from_spec(spec)
    yield importlib.import_module("detection_ops.average_precision")
    for name in [name for name in sys.modules if name.startswith("detection_ops")]:
        del sys.modules[name]


def make_scenes(
    seed: int, images: int = 25, steps: int = 0
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return boxes, class ids and crowd; and boxes, class ids and scores that come near to them.

    With `steps` coordinates are whole and there are so many scores, so that many are equal.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(images, *shape, generator=generator)

    corners, sizes = random(8, 2) * 60, 3 + random(8, 2) * 30
    labels = (random(8) * (CLASSES - 1)).long().where(random(8) < 0.6, -1)  # one class is nowhere
    crowd = (random(8) < 0.2) & (labels >= 0)
    spread = torch.tensor([0.3, 2.0, 6.0, 15.0]).repeat(6)[:, None]
    lower = corners.repeat(1, 3, 1) + spread * (random(24, 2) - 0.5)
    near = torch.cat((lower, lower + sizes.repeat(1, 3, 1) * (0.8 + 0.4 * random(24, 2))), dim=2)
    guessed = labels.repeat(1, 3)
    guessed = guessed.where(random(24) < 0.85, (random(24) * CLASSES).long())
    scores = 0.05 + 0.95 * random(24)
    boxes = torch.cat((corners, corners + sizes), dim=2)
    if steps:
        boxes, near, scores = boxes.round(), near.round(), (scores * steps).ceil() / steps
    scores = scores.where(guessed >= 0, 0.0)
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    near = near.gather(1, order[..., None].expand(-1, -1, 4))
    return [boxes, labels, crowd], [near, guessed.gather(1, order), scores]


def coco_box(box: torch.Tensor) -> list[float]:
    x1, y1, x2, y2 = box.double().tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def coco_scores(truth: list[torch.Tensor], found: list[torch.Tensor]) -> tuple[float, float]:
    """Return what pycocotools computes: at all overlaps, and at 0.5."""
    boxes, guesses = [], []
    for image in range(len(truth[0])):
        for box, label, crowd in zip(*(part[image] for part in truth), strict=True):
            if label >= 0:
                x, y, width, height = coco_box(box)
                row = {"image_id": image, "category_id": int(label), "iscrowd": int(crowd)}
                row |= {"bbox": [x, y, width, height], "area": width * height}
                boxes.append(row | {"id": len(boxes) + 1})
        for box, label, score in zip(*(part[image] for part in found), strict=True):
            if label >= 0:
                row = {"image_id": image, "category_id": int(label), "score": score.item()}
                guesses.append(row | {"bbox": coco_box(box)})
    coco: Any = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(len(truth[0]))],
        "categories": [{"id": label} for label in range(CLASSES)],
        "annotations": boxes,
    }
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(guesses), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0], evaluation.stats[1]


def own_scores(
    ops: ModuleType, truth: list[torch.Tensor], found: list[torch.Tensor]
) -> tuple[float, float]:
    metric = ops.AveragePrecision(CLASSES)
    boxes, labels, scores = found
    numbers = torch.arange(len(boxes))
    for part in numbers.split(7):  # batches
        detections = []
        for image in part:
            there = labels[image] >= 0
            values = (boxes[image][there], scores[image][there], labels[image][there])
            detections.append(dict(zip(("boxes", "scores", "labels"), values, strict=True)))
        names = ("boxes", "labels", "iscrowd")
        targets = {name: values[part] for name, values in zip(names, truth, strict=True)}
        metric.add(detections, {**targets, "image_id": part})
    computed = metric.compute()
    return computed["map"], computed["map_50"]


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize("seed", range(8))
def test_the_scores_of_a_project_are_those_of_pycocotools(ops, seed, steps):
    truth, found = make_scenes(seed, steps=steps)
    expected = coco_scores(truth, found)
    assert 0.02 < expected[0] < expected[1] < 0.9
    assert own_scores(ops, truth, found) == pytest.approx(expected, rel=1e-12)


def test_overlaps_and_recalls_are_those_of_pycocotools_to_the_bit(ops):
    params = COCOeval(iouType="bbox").params
    assert np.array_equal(ops.OVERLAPS.numpy(), params.iouThrs)
    assert np.array_equal(ops.RECALLS.numpy(), params.recThrs)
