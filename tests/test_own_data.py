"""Data sets that people have, in the place of ours, as docs/own-data.md says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT, Render

PAGE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
IMPORTS = """
from functools import partial
from io import BytesIO

import albumentations
import datasets
import numpy as np
from PIL import Image
from torch.utils.data import ConcatDataset, Subset
from torchvision.datasets import FakeData
from torchvision.transforms.functional import to_pil_image
"""
FEW = ("--max-steps", "6", "--device", "cpu", "--amp", "none")

PAIRS = """
def open_images(config, train_transform, test_transform):
    images = draw_images(120, 32, seed=1)
    pairs = [(train_transform(image), label) for image, label in zip(*images)]
    return Sets(pairs[:80], pairs[80:100], pairs[100:], [*SHAPES])
"""
FIVE_CHANNELS = """
def open_images(config, train_transform, test_transform):
    images, labels = draw_images(120, 32, seed=1)
    images = torch.cat((images, images[:, :2]), dim=1)
    train, test = Images(images, labels, train_transform), Images(images, labels, test_transform)
    sets = (Subset(train, range(80)), Subset(test, range(80, 100)), Subset(test, range(100, 120)))
    return Sets(*sets, [*SHAPES])
"""
HUGGING_FACE = """
def open_images(config, train_transform, test_transform):
    images, labels = draw_images(120, 32, seed=1)
    rows = {"image": [to_pil_image(image) for image in images], "label": labels.tolist()}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict(rows, features=features).to_parquet("rows.parquet")
    rows = datasets.load_dataset("parquet", data_files="rows.parquet", split="train")
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
    "five channels": FIVE_CHANNELS,
    "Hugging Face": blocks(PAGE, "class Pairs") + HUGGING_FACE,
    "albumentations": ALBUMENTATIONS,
}


# a script that writes drawn images into shards
WRITE_SHARDS = """
from pathlib import Path

from p.data import draw_images
from torchvision.transforms.functional import to_pil_image
from webdataset.writer import TarWriter

for seed, place in enumerate(("train/a", "train/b", "val/a", "test/a")):
    path = Path("shards", place).with_suffix(".tar")
    path.parent.mkdir(parents=True, exist_ok=True)
    with TarWriter(str(path)) as writer:
        for number, (image, label) in enumerate(zip(*draw_images(30, 32, seed), strict=True)):
            parts = {"png": to_pil_image(image), "cls": int(label)}
            writer.write({"__key__": f"{number:03}"} | parts)
"""


def run(project: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def train_and_resume(project: Path, code: str, *flags: str) -> None:
    """Put the code into data.py; stop, resume and compare; train and evaluate."""
    with (project / "p" / "data.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{IMPORTS}\n\n{code}")
    flags = (*FEW, "--batch-size", "16", "--accumulate", "2", "--workers", "1", *flags)
    assert "the same, bit for bit" in run(project, "train.py", *flags, "--check-resume")
    run(project, "train.py", *flags, "--run-dir", "run")
    assert "samples of test" in run(project, "evaluate.py", "run", "--device", "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("kind", DATA)
def test_a_data_set_of_anybodys_trains_and_resumes_exactly(project: Render, kind: str) -> None:
    place = project(task="image_classification", package="p")
    train_and_resume(place, DATA[kind], "--image-size", "32")


@pytest.mark.slow
def test_tar_shards_train_and_resume_exactly(project: Render) -> None:
    place = project(task="image_classification", package="p", blocks=["tar_shards"])
    run(place, "-c", WRITE_SHARDS)
    code = f"from p.readers.tar_shards import TarShards\n\n{blocks(PAGE, 'TarShards')}"
    train_and_resume(place, code, "--data", "shards", "--dataset", "folder", "--image-size", "32")


@pytest.mark.slow
def test_files_of_tokens_train_and_resume_exactly(project: Render) -> None:
    place = project(task="language_modeling", package="p")
    (place / "shards").mkdir()
    for seed, name in enumerate(("train-a", "train-b", "val", "test")):
        tokens = np.random.default_rng(seed).integers(0, 256, 5000, dtype=np.uint16)
        tokens.tofile(place / "shards" / f"{name}.bin")
    train_and_resume(place, blocks(PAGE, "uint16"), "--context", "32")
