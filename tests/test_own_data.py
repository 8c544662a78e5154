"""Data sets that people have, in the place of ours, as docs/own-data.md says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Render

PAGE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
IMPORTS = """
import albumentations
import datasets
import numpy as np
from torch.utils.data import ConcatDataset, Subset
from torchvision.datasets import FakeData
from torchvision.transforms.functional import to_pil_image
"""
FEW = ("--max-steps", "6", "--image-size", "32", "--device", "cpu", "--amp", "none")

PAIRS = """
def open_images(config, train_transform, test_transform):
    images = draw_images(120, 32, seed=1)
    pairs = [(train_transform(image), label) for image, label in zip(*images)]
    return Sets(pairs[:80], pairs[80:100], pairs[100:], [*SHAPES])
"""
HUGGING_FACE = """
def open_images(config, train_transform, test_transform):
    images, labels = draw_images(120, 32, seed=1)
    rows = {"image": [to_pil_image(image) for image in images], "label": labels.tolist()}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = datasets.Dataset.from_dict(rows, features=features)
    train, test = Pairs(rows, train_transform), Pairs(rows, test_transform)
    sets = (Subset(train, range(80)), Subset(test, range(80, 100)), Subset(test, range(100, 120)))
    return Sets(*sets, [*SHAPES])
"""
ALBUMENTATIONS = """
class Changed(Images):
    def __init__(self, images, labels, transform):
        super().__init__(images, labels, transform)
        self.change = albumentations.Compose(
            [albumentations.HorizontalFlip(), albumentations.GaussNoise(p=0.5)]
        )

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        changed = self.change(image=image.permute(1, 2, 0).numpy())["image"]
        return torch.from_numpy(np.ascontiguousarray(changed)).permute(2, 0, 1), label


def open_images(config, train_transform, test_transform):
    sets = (Changed(*draw_images(count, 32, count), test_transform) for count in (80, 20, 21))
    return Sets(*sets, [*SHAPES])
"""


def blocks(page: str, word: str) -> str:
    """Return the page's piece of Python that has this word."""
    (found,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.S) if word in code)
    return found


DATA = {
    "FakeData and Subset": blocks(PAGE, "FakeData"),
    "a list of pairs": PAIRS,
    "Hugging Face": blocks(PAGE, "class Pairs") + HUGGING_FACE,
    "albumentations": ALBUMENTATIONS,
}


def run(project: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", DATA)
def test_a_data_set_of_anybodys_trains_and_resumes_exactly(project: Render, kind: str) -> None:
    place = project(task="image_classification", package="p")
    with (place / "p" / "data.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{IMPORTS}\n\n{DATA[kind]}")
    flags = (*FEW, "--batch-size", "16", "--accumulate", "2", "--workers", "1")
    assert "the same, bit for bit" in run(place, "train.py", *flags, "--check-resume")
    run(place, "train.py", *flags, "--run-dir", "run")
    assert "samples of test" in run(place, "evaluate.py", "run", "--device", "cpu")
