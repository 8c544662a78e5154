"""Files in class folders, whose names are those of the classes."""

import os
from collections.abc import Callable
from pathlib import Path

from ..engine.errors import DATA, fail, warn
from ..engine.processes import is_main_process
from .folders import find_files, leave_out, refuse
from .sets import hold_out, missing, refuse_empty, set_folders
from .split_folders import group_of

ClassFiles = dict[str, list[Path]]
Labelled = list[tuple[Path, int]]
Reads = Callable[[Path], bool]


def class_folders(
    folder: Path, kinds: set[str], split_seed: int, level: int, reads: Reads | None
) -> tuple[dict[str, Labelled], list[str]]:
    """Return the files of each set with the numbers of their classes, and the classes.

    Reads folder/train/<class>/ and the like, or folder/<class>/; what has no folder is held out of
    the files to train on. Those below the same folder at this level stay together; 1 is the class.
    """
    places = set_folders(folder) or {"train": folder}
    found = {name: class_files(place, kinds, reads) for name, place in places.items()}
    classes = sorted(found["train"])
    if len(classes) < 2:
        fail(DATA, f"--data {folder}: one class, {classes[0]}; each needs a folder")
    for name, files in found.items():
        if unknown := sorted(files.keys() - {*classes}):
            fail(DATA, f"{places[name]}: train/ has no such class: {', '.join(unknown)}")

    def labelled(files: ClassFiles) -> Labelled:
        return [(path, classes.index(name)) for name in sorted(files) for path in files[name]]

    def identity(sample: tuple[Path, int]) -> str:
        return group_of(sample[0].relative_to(places["train"]), level)

    sets = {name: labelled(files) for name, files in found.items()}
    sets |= hold_out(sets["train"], identity, split_seed, missing(sets))
    refuse_empty(sets, folder)
    for name, samples in sets.items():
        lacking = [classes[label] for label in {*range(len(classes))} - {n for _, n in samples}]
        if lacking and name == "train":
            held = "all its files are held out; another --split-seed may help"
            fail(DATA, f"class {lacking[0]}: {held}")
        if lacking and is_main_process():
            warn(f"{folder}: {name} has nothing of {', '.join(lacking)}")
    return sets, classes


def class_files(folder: Path, kinds: set[str], reads: Reads | None) -> ClassFiles:
    files = {}
    _, names, _ = next(os.walk(folder, onerror=refuse))
    for path in sorted(folder / name for name in names):
        if not path.name.startswith("."):
            if path.resolve() in (folder.resolve(), *folder.resolve().parents):
                fail(DATA, f"{path}: a link to a folder that it is in")
            if path.name != path.name.encode(errors="replace").decode():
                fail(DATA, f"{str(path)!r}: the name is not UTF-8; rename this class")
            files[path.name] = leave_out(find_files([path], kinds), path, reads)
    if not files:
        fail(DATA, f"--data {folder}: no class folders in it, as in {folder}/cat/1{min(kinds)}")
    return files
