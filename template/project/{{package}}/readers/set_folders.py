"""Folders of the sets, and folders whose files stay in one set."""

from pathlib import Path

from ..engine.errors import DATA, USAGE, fail
from .sets import set_called


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


def group_of(path: Path, level: int) -> str:
    """Return what a file stays together with: the name of the folder at this level, or its own."""
    if level >= len(path.parts):
        fail(USAGE, f"--group-level {level}: {path} lies {len(path.parts) - 1} folders deep")
    return path.parts[level - 1] if level else path.as_posix()
