"""Files to train on, to validate and to test with: folders of their own, or one that is split."""

from collections.abc import Callable
from pathlib import Path

from .folders import find_files, leave_out
from .hold_out import hold_out
from .set_folders import group_of, set_folders

Reads = Callable[[Path], bool]


def file_sets(
    folder: Path,
    kinds: set[str],
    split_seed: int,
    level: int,
    reads: Reads | None,
    inside: str = "",
) -> dict[str, list[Path]]:
    """Return the files of each set; what has no folder is held out of those to train on.

    They lie in the folder `inside` of each set's, or in those of the sets inside it. Files below
    the same folder at this level, from 1 on, stay together; with 0 none do.
    """
    places = {name: place / inside for name, place in set_folders(folder).items()}
    places = places or set_folders(folder / inside) or {"train": folder / inside}
    sets = {s: leave_out(find_files([place], kinds), place, reads) for s, place in places.items()}

    def identity(path: Path) -> str:
        return group_of(path.relative_to(places["train"]), level)

    return hold_out(sets, identity, split_seed, str(folder))


def file_identity(path: Path, folder: Path) -> str:
    """Return a file's path below the folder, and what tells that it was edited: its size."""
    name = path.relative_to(folder).as_posix().encode(errors="backslashreplace").decode()
    return f"{name} {path.stat().st_size if path.exists() else 0}"
