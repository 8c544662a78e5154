"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

import random
from pathlib import Path

from PIL import Image

FLAGS = ("--data", "images", "--image-size", "16")  # of train.py
INPUT = ("drawn", "--count", "3")  # of predict.py
PRINTED = "3 images in drawn"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    noise = random.Random(1)
    (folder / "images").mkdir(parents=True)
    for number in range(28):
        image = Image.frombytes("RGB", (16, 16), noise.randbytes(16 * 16 * 3))
        plain = Image.new("RGB", (16, 16), ("navy", "gold")[number % 2])
        Image.blend(image, plain, 0.5).save(folder / "images" / f"{number}.png")
