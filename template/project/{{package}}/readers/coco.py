"""COCO's JSON format for boxes; what is wrong with an entry is said with its place."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..engine.errors import DATA, USAGE, fail
from ..engine.processes import is_main_process
from .folders import leave_out
from .hold_out import hold_out
from .set_folders import group_of, set_folders
from .sets import SPELLINGS

LISTS = ("images", "categories", "annotations")


class Annotated(NamedTuple):
    """An image file and what is in it, in pixels of the file."""

    path: Path
    name: str  # in the file of annotations
    width: int
    height: int
    rows: Tensor  # (M, 6): x1, y1, x2, y2, class, crowd


Reads = Callable[[Annotated], bool]


def coco_sets(
    places: list[Path], folders: list[Path], split_seed: int, level: int, reads: Reads | None
) -> tuple[dict[str, list[Annotated]], list[str]]:
    """Return the images of each set, and the names of the categories.

    The images are in one folder for all files, in one for each, or beside them. What has no file is
    held out of those to train on, by the names of the images; those below the same folder at this
    level stay together.
    """
    files = coco_files(places)
    for spare in folders[len(files) :]:
        fail(USAGE, f"--images {spare}: is for no file; name one with --data, or leave it out")
    beside = [path.parent for path in files.values()]
    folders = folders * len(files) if len(folders) == 1 else folders or beside
    if len(folders) < len(files):
        fail(USAGE, f"--images: {len(folders)} folders for {len(files)} files; name one, or each")
    found = {
        name: read_coco(path, folder, reads)
        for (name, path), folder in zip(files.items(), folders, strict=True)
    }
    sets, classes = {name: images for name, (images, _) in found.items()}, found["train"][1]
    for name, (_, others) in found.items():
        if others != classes:
            differ = ", ".join(sorted({*classes} ^ {*others})) or "their order"
            fail(DATA, f"{files['train']} and {files[name]}: the categories differ: {differ}")

    def identity(entry: Annotated) -> str:
        return group_of(Path(entry.name), level)

    return hold_out(sets, identity, split_seed, str(files["train"])), classes


def coco_files(places: list[Path]) -> dict[str, Path]:
    """Return the file of each set: those named, in this order, or those in one folder."""
    if len(places) == 1 and places[0].is_dir():
        inside = set_folders(places[0]) or {"train": places[0]}
        return {name: only_json(folder) for name, folder in inside.items()}
    for spare in places[3:]:
        fail(USAGE, f"--data {spare}: files to train, to validate and to test with are all")
    return dict(zip(SPELLINGS, places, strict=False))


def only_json(folder: Path) -> Path:
    found = sorted(folder.glob("*.json"))
    if len(found) != 1:
        fail(DATA, f"{folder}: has {len(found)} JSON files; one in COCO's format is needed")
    return found[0]


def read_coco(path: Path, folder: Path, reads: Reads | None) -> tuple[list[Annotated], list[str]]:
    """Return the images of a file in the order of their ids, and the names of its categories.

    With --skip-bad-samples there is a function that tries whether an image reads.
    """
    content = read_json(path)
    categories = by_id(path, content, "categories")
    classes = texts(categories, "name")
    numbers = {category: number for number, category in enumerate(categories)}
    found: dict[int, tuple[Path, str, int, int]] = {}
    rows: dict[int, list[list[float]]] = {}
    images = by_id(path, content, "images")
    for image, name in zip(images, texts(images, "file_name"), strict=True):
        where, entry = images[image]
        width, height = whole(where, entry, "width"), whole(where, entry, "height")
        found[image], rows[image] = (folder / name, name, width, height), []
    boxes = empty = 0
    for where, entry in entries(path, content, "annotations"):
        image, category = entry.get("image_id"), entry.get("category_id")
        if not isinstance(image, int) or image not in found:
            fail(DATA, f"{where}: image_id {image!r} is none of the images")
        if not isinstance(category, int) or category not in numbers:
            fail(DATA, f"{where}: category_id {category!r} is none of the categories")
        *_, width, height = found[image]
        x, y, w, h = read_box(where, entry)
        x1, x2 = (min(max(edge, 0.0), width) for edge in (x, x + w))
        y1, y2 = (min(max(edge, 0.0), height) for edge in (y, y + h))
        if x1 < x2 and y1 < y2:
            rows[image].append([x1, y1, x2, y2, numbers[category], bool(entry.get("iscrowd"))])
        else:
            empty += 1
        boxes += 1
    if boxes == empty:
        fail(DATA, f"{path}: has no boxes")
    if empty and is_main_process():
        print(f"{path}: {empty} of {boxes} boxes left out, they have no area inside their image")
    annotated = [
        Annotated(*about, torch.tensor(rows[image]).view(-1, 6)) for image, about in found.items()
    ]
    missing = [entry.path for entry in annotated if not entry.path.is_file()]
    if missing and reads is None:
        amount = f"{len(missing)} of {len(annotated)} images are not there"
        fail(DATA, f"{path}: {amount}, as {missing[0]}; --images names their folder")
    return leave_out(annotated, path, reads), classes


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        fail(DATA, f"--data {path}: {error.strerror}")
    except (ValueError, RecursionError) as error:
        fail(DATA, f"--data {path}: is no JSON: {error}")
    if not isinstance(content, dict) or not all(isinstance(content.get(n), list) for n in LISTS):
        fail(DATA, f"--data {path}: is not in COCO's format, with lists {', '.join(LISTS)}")
    return content


def entries(path: Path, content: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each entry of a list with its place, as a fault in it is told."""
    for place, entry in enumerate(content[name], 1):
        where = f"{path}: {name}, entry {place}"
        if not isinstance(entry, dict):
            fail(DATA, f"{where}: is not an object, with fields in braces")
        yield where, entry


def by_id(path: Path, content: dict[str, Any], name: str) -> dict[int, tuple[str, dict[str, Any]]]:
    """Return the entries of a list in the order of their ids, which COCO's evaluation has, too."""
    found = {}
    for where, entry in entries(path, content, name):
        number = entry.get("id")
        if not isinstance(number, int):
            fail(DATA, f"{where}: id {number!r} is not a whole number")
        if number in found:
            fail(DATA, f"{where}: id {number} is there twice")
        found[number] = where, entry
    return dict(sorted(found.items()))


def text(where: str, entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    # JSON may hold halves of characters, which no encoding has
    if not isinstance(value, str) or not value or value != value.encode(errors="replace").decode():
        fail(DATA, f"{where}: {name} {value!r} is not a text")
    return value


def texts(found: dict[int, tuple[str, dict[str, Any]]], name: str) -> list[str]:
    """Return a field of each entry, which no two of them share."""
    values: dict[str, str] = {}
    for where, entry in found.values():
        value = text(where, entry, name)
        if value in values:
            fail(DATA, f"{where}: {name} {value!r} is that of {values[value]}, too")
        values[value] = where
    return list(values)


def whole(where: str, entry: dict[str, Any], name: str) -> int:
    value = entry.get(name)
    if not isinstance(value, int) or not 0 < value < 2**31:
        fail(DATA, f"{where}: {name} {value!r} is not a number of pixels")
    return value


def read_box(where: str, entry: dict[str, Any]) -> list[float]:
    """Return x, y, width and height."""
    value, box = entry.get("bbox"), []
    if isinstance(value, list) and all(isinstance(number, (int, float)) for number in value):
        with suppress(OverflowError):  # JSON knows larger ones
            box = [float(number) for number in value]
    if len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) < 0:
        fail(DATA, f"{where}: bbox {str(value)[:40]} is not x, y, width, height in pixels")
    return box
