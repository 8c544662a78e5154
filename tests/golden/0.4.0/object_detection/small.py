"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

import json
import random
from pathlib import Path

from PIL import Image

FLAGS = ("--data", "boxes.json", "--images", "images", "--image-size", "32")  # of train.py
INPUT = ("images/1.png", "images/2.png")  # of predict.py
PRINTED = "file,class,score,x,y,width,height"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    noise = random.Random(1)
    colours = ("navy", "gold")
    images, annotations = [], []
    (folder / "images").mkdir()
    for number in range(27):
        image = Image.frombytes("L", (40, 30), noise.randbytes(40 * 30)).convert("RGB")
        for category in range(number % 3):
            x, y, size = 20 * category + noise.randrange(8), noise.randrange(15), 12
            image.paste(colours[category], (x, y, x + size, y + size))
            box = {"bbox": [x, y, size, size], "category_id": category, "image_id": number}
            annotations.append({"id": len(annotations), **box})
        image.save(folder / "images" / f"{number}.png")
        file = {"file_name": f"{number}.png", "width": image.width, "height": image.height}
        images.append({"id": number, **file})
    categories = [{"id": number, "name": name} for number, name in enumerate(colours)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
