"""Images to predict on, and the pictures that are made of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from ..engine.errors import DATA, OUTPUT, USAGE, BadSampleError, fail, warn
from .folders import find_files
from .images import IMAGE_FILES, load_image


def find_images(places: list[Path], output: Path | None) -> dict[Path, str]:
    """Return image files, each with the name of its picture: its path below the named folder.

    No two have the same name, and no picture is written beside the images.
    """
    names: dict[Path, str] = {}
    for place in places:
        folder = place if place.is_dir() else place.parent
        for path in find_files([place], IMAGE_FILES):
            names.setdefault(path, str(path.relative_to(folder).with_suffix("")))
    if output is None:
        return names
    found: dict[str, Path] = {}
    for path, name in names.items():
        other = found.setdefault(name, path)
        if other != path:
            fail(USAGE, f"{path}: its picture has the name of that of {other}; rename one of them")
        if path.resolve().parent in (output.resolve(), (output / name).resolve().parent):
            fail(USAGE, f"{output}: holds {path}, which is to be read; write to another folder")
    return names


def read_images(paths: Iterable[Path], skip_bad: bool) -> Iterator[tuple[Path, Image.Image]]:
    """Yield each image with its path; one that cannot be read ends the script, or is left out."""
    read = 0
    for path in paths:
        try:
            image = load_image(path, "RGB")
        except BadSampleError as error:
            if not skip_bad:
                fail(DATA, str(error))
            warn(f"{path}: left out, it cannot be read")
            continue
        read += 1
        yield path, image
    if not read:
        fail(DATA, "all images were left out, so nothing is made of them")


def save_picture(picture: Image.Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except OSError as error:
        fail(OUTPUT, f"{path}: {error.strerror or error}")
