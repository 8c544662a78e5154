"""One process at a time in a run's folder."""

import os
import sys
from pathlib import Path
from typing import IO

from .errors import OUTPUT, fail


def lock(folder: Path) -> IO[str]:
    """Return the open lock, which the system drops when the process ends, however it ends."""
    path = folder / "run.lock"
    file = path.open("a+", encoding="utf-8")
    try:
        take(file)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        fail(OUTPUT, f"{folder}: {holder} is at work in it; wait for it, or choose --run-dir")
    file.truncate(0)
    file.write(f"process {os.getpid()}\n")
    file.flush()
    return file


if sys.platform == "win32":
    import msvcrt

    def take(file: IO[str]) -> None:
        file.seek(1 << 30)  # what is locked cannot be read: a place behind the text
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)

else:
    import fcntl

    def take(file: IO[str]) -> None:
        # lockf, as a forked worker would keep an flock after its parent is gone
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
