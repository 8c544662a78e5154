"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

import random
from pathlib import Path

from PIL import Image

# of train.py
FLAGS = ("--data", "images", "--image-size", "18", "--scale", "3", "--noise", "20")
INPUT = ("images/1.png", "images/2.png", "--output", "found")  # of predict.py
PRINTED = "20 x 18 -> 60 x 54"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    noise = random.Random(1)
    (folder / "images").mkdir(parents=True)
    for index in range(28):
        image = Image.frombytes("RGB", (5, 6), noise.randbytes(5 * 6 * 3))
        image.resize((20, 18), Image.Resampling.NEAREST).save(folder / "images" / f"{index}.png")
