"""Files in class folders, whose names are those of the classes."""

import os
from collections.abc import Callable
from pathlib import Path

from ..engine.errors import DATA, fail
from ..engine.runtime import mix
from .folders import find_files, hold_out, leave_out, refuse

ClassFiles = dict[str, list[Path]]
Reads = Callable[[Path], bool]


def class_folders(
    folder: Path, kinds: set[str], seed: int, reads: Reads | None
) -> tuple[ClassFiles, ClassFiles]:
    """Read folder/train/<class>/ and folder/test/<class>/, or split folder/<class>/ by the seed."""
    if not folder.is_dir():
        fail(DATA, f"--data {folder}: no such folder")
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        train, test = (class_files(folder / part, kinds, reads) for part in ("train", "test"))
        if train.keys() != test.keys():
            only = ", ".join(sorted(train.keys() ^ test.keys()))
            fail(DATA, f"--data {folder}: train and test differ in their classes: {only}")
    else:
        train, test = {}, {}
        for number, (name, paths) in enumerate(class_files(folder, kinds, reads).items()):
            if len(paths) < 2:
                fail(DATA, f"class {name}: one file only; one to train and one to test are needed")
            train[name], test[name] = hold_out(paths, mix(seed, number))
    if len(train) < 2:
        fail(DATA, f"--data {folder}: one class, {next(iter(train))}; each needs a folder")
    return train, test


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
