"""Files in class folders, whose names are those of the classes."""

from collections.abc import Callable
from pathlib import Path

from ..engine.errors import DATA, fail, warn
from ..engine.processes import is_main_process
from .set_folders import set_folders
from .split_folders import file_sets

Labelled = list[tuple[Path, int]]


def class_folders(
    folder: Path, kinds: set[str], split_seed: int, level: int, reads: Callable | None
) -> tuple[dict[str, Labelled], list[str]]:
    """Return the files of each set with the numbers of their classes, and the classes.

    A class is the first folder: folder/train/<class>/ and the like, or folder/<class>/.
    """
    places = set_folders(folder) or {"train": folder}
    files = file_sets(folder, kinds, split_seed, level, reads)
    names = {
        name: [path.relative_to(places.get(name, places["train"])).parts[0] for path in paths]
        for name, paths in files.items()
    }
    classes = sorted({*names["train"]})
    for path, name in [pair for s in files for pair in zip(files[s], names[s], strict=True)]:
        if name == path.name:
            fail(DATA, f"{path}: is in no class folder, as in {path.parent}/cat/{name}")
    for name in classes:
        if name != name.encode(errors="replace").decode():
            fail(DATA, f"{folder}: the class {name!r} is not UTF-8; rename it")
    if len(classes) < 2:
        fail(DATA, f"--data {folder}: one class, {classes[0]}; each needs a folder")
    for name, found in names.items():
        if unknown := sorted({*found} - {*classes}):
            fail(DATA, f"{folder}: {name} has a class that train has not: {', '.join(unknown)}")
        if (lacking := sorted({*classes} - {*found})) and is_main_process():
            warn(f"{folder}: {name} has nothing of {', '.join(lacking)}")
    number = {name: index for index, name in enumerate(classes)}
    numbers = {name: [number[one] for one in found] for name, found in names.items()}
    return {s: [*zip(files[s], numbers[s], strict=True)] for s in files}, classes
