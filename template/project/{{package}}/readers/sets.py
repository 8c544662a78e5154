"""Training, validation and test set: found by their names, or held out by what a sample is."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from ..engine.errors import DATA, USAGE, fail

T = TypeVar("T")

# the sets, and what their folders or rows may be called
SPELLINGS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
HELD_OUT = 0.15  # of all samples for the validation, and as many for the test


def set_called(name: str) -> str | None:
    """Return the set that is called so, if one is."""
    found = (one for one, spellings in SPELLINGS.items() if name.strip().lower() in spellings)
    return next(found, None)


def hold_out(
    samples: Iterable[T],
    identity: Callable[[T], str],
    split_seed: int,
    names: Iterable[str] = ("val", "test"),
) -> dict[str, list[T]]:
    """Return the samples to train on and those of each of these sets.

    What set a sample is in follows from its identity alone, so that no other sample moves it; those
    with the same identity stay together.
    """
    sets: dict[str, list[T]] = {"train": [], **{name: [] for name in names}}
    for sample in samples:
        text = f"{split_seed} {identity(sample)}".encode(errors="surrogateescape")
        number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") / 2**64
        drawn = "val" if number < HELD_OUT else "test" if number < 2 * HELD_OUT else "train"
        sets[drawn if drawn in sets else "train"].append(sample)
    return sets


def group_of(path: Path, level: int) -> str:
    """Return what a file stays together with: the name of the folder at this level, or its own."""
    if level >= len(path.parts):
        fail(USAGE, f"--group-level {level}: {path} lies {len(path.parts) - 1} folders deep")
    return path.parts[level - 1] if level else path.as_posix()


def set_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of the sets in this one; of none where it is not divided."""
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        fail(DATA, f"--data {folder}: {error.strerror}; name a folder")
    found: dict[str, Path] = {}
    for path in inside:
        name = set_called(path.name) if path.is_dir() else None
        if name in found:
            fail(DATA, f"{path}: {found[name].name}/ is there, too, for the same set")
        if name:
            found[name] = path
    if found and "train" not in found:
        fail(DATA, f"{next(iter(found.values()))}: there is no train/ beside it")
    return found


def missing(sets: Iterable[str]) -> list[str]:
    """Return the sets that are to be held out."""
    return [name for name in ("val", "test") if name not in sets]


def refuse_empty(sets: dict[str, list], place: object) -> None:
    for name, samples in sets.items():
        if not samples:
            fail(DATA, f"{place}: too few, so that {name} is empty; another --split-seed may help")
