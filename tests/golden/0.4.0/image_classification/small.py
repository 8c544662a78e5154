"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

import random
from pathlib import Path

from PIL import Image

FLAGS = ("--dataset", "folder", "--data", "images", "--image-size", "16")  # of train.py
INPUT = ("images/cat/1.png", "images/dog")  # of predict.py
PRINTED = "file,class,probability"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    noise = random.Random(1)
    for name, number, colour in (("cat", 13, "navy"), ("dog", 15, "gold")):
        (folder / "images" / name).mkdir(parents=True)
        for index in range(number):
            image = Image.frombytes("RGB", (16, 16), noise.randbytes(16 * 16 * 3))
            plain = Image.new("RGB", (16, 16), colour)
            Image.blend(image, plain, 0.5).save(folder / "images" / name / f"{index}.png")
