"""Files in folders, in an order that no file system changes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

import torch

from ..engine.errors import DATA, fail
from ..engine.processes import is_main_process

T = TypeVar("T")
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
    if not good:
        fail(DATA, f"{place}: none of {bad} files can be used; --no-skip-bad-samples says why")
    if bad and is_main_process():
        print(f"{place}: {bad} of {len(paths)} files left out, they cannot be used")
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
