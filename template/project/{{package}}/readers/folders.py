"""Files in folders and in class folders, in an order that no file system changes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

import torch

from ..engine.errors import DATA, fail
from ..engine.processes import is_main_process
from ..engine.runtime import mix

T = TypeVar("T")
ClassFiles = dict[str, list[Path]]
Reads = Callable[[Path], bool]


def find_files(places: list[Path], kinds: set[str]) -> list[Path]:
    """Return the files that are named, and those of these kinds in the folders that are."""
    found = []
    for place in places:
        if not place.exists():
            fail(DATA, f"{place}: no such file or folder")
        found += sorted(files_below(place, kinds)) if place.is_dir() else [place]
    if not found:
        fail(DATA, f"{places[0]}: no files in it of the kinds {', '.join(sorted(kinds))}")
    return found


def files_below(folder: Path, kinds: set[str]) -> Iterator[Path]:
    """Yield the files in a folder, but not those behind links, which may form a loop."""
    for place, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            if Path(name).suffix.lower() in kinds:
                yield Path(place, name)


def refuse(error: OSError) -> NoReturn:
    fail(DATA, f"{error.filename}: {error.strerror}")


def leave_out(paths: list[T], place: Path, reads: Callable[[T], bool] | None) -> list[T]:
    """Return those that read, if --skip-bad-samples gave a function that tries."""
    good = paths if reads is None else [path for path in paths if reads(path)]
    bad = len(paths) - len(good)
    if bad and is_main_process():
        print(f"{place}: {bad} of {len(paths)} files left out, they cannot be read")
    return good


def hold_out(paths: list[T], seed: int) -> tuple[list[T], list[T]]:
    """Return files to train on, and a fifth of them for the test; two files at least."""
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(seed)).tolist()
    held_out = set(order[: max(1, len(paths) // 5)])
    train = [path for place, path in enumerate(paths) if place not in held_out]
    return train, [path for place, path in enumerate(paths) if place in held_out]


def train_and_test_folders(
    folder: Path, kinds: set[str], seed: int, reads: Reads | None
) -> tuple[list[Path], list[Path]]:
    """Return the files in folder/train/ and folder/test/, or those in folder/ split by the seed."""
    if not folder.is_dir():
        fail(DATA, f"--data {folder}: no such folder")
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        train, test = (find_files([folder / part], kinds) for part in ("train", "test"))
        return leave_out(train, folder / "train", reads), leave_out(test, folder / "test", reads)
    paths = leave_out(find_files([folder], kinds), folder, reads)
    if len(paths) < 2:
        fail(DATA, f"--data {folder}: one file only; one to train and one to test are needed")
    return hold_out(paths, seed)


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
