"""Files to train on and files to test on: two folders, or one that is split."""

from collections.abc import Callable
from pathlib import Path

from ..engine.errors import DATA, fail
from .folders import find_files, hold_out, leave_out

Reads = Callable[[Path], bool]


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
