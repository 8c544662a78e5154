"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

import random
from pathlib import Path

from PIL import Image

FLAGS = ("--data", "scenes", "--image-size", "16")  # of train.py
INPUT = ("scenes/images/1.png", "scenes/images/2.png", "--output", "found")  # of predict.py
PRINTED = "masks and overlays in found"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    noise = random.Random(1)
    images, masks = folder / "scenes" / "images", folder / "scenes" / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    (folder / "scenes" / "classes.txt").write_text("ground\nbox\n", encoding="utf-8")
    for index in range(28):
        image = Image.frombytes("RGB", (16, 16), noise.randbytes(16 * 16 * 3))
        mask = Image.new("L", (16, 16))
        left, top = noise.randrange(8), noise.randrange(8)
        image.paste("gold", (left, top, left + 8, top + 8))
        mask.paste(1, (left, top, left + 8, top + 8))
        mask.paste(255, (0, 0, 16, 1))
        image.save(images / f"{index}.png")
        mask.save(masks / f"{index}.png")
