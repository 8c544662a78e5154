"""Files in folders, in an order that no file system changes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

from ..engine.errors import DATA, fail
from ..engine.processes import is_main_process

T = TypeVar("T")


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
    """Yield the files in a folder, in none of it twice, and not in what is hidden."""
    seen = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        known = os.path.realpath(place) in seen  # a link may lead back
        seen.add(os.path.realpath(place))
        folders[:] = [] if known else sorted(name for name in folders if name[0] != ".")
        for path in (Path(place, name) for name in names if not known):
            # reading a pipe or a device may never end; of a broken link its reader tells
            if path.suffix.lower() in kinds and (path.is_file() or not path.exists()):
                yield path


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
