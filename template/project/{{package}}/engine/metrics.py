"""metrics.csv: a row for each number, whole or not there."""

import csv
import io
import re
from contextlib import suppress
from pathlib import Path

from .storage import write_text

HEADER = "step,name,value\n"
ROW = re.compile(r"(\d+),.+,(?:nan|-?inf|[-+.e\d]+)\n")


class Metrics:
    """Opened for each write, as the folder may be another by then, or none."""

    def __init__(self, folder: Path, resume_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.csv"
        keep_rows(self.path, resume_step)

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        writer.writerows((step, name, value) for name, value in values.items())
        append(self.path, rows.getvalue().encode(), HEADER.encode())

    def close(self) -> None:
        pass


def keep_rows(path: Path, last_step: int) -> None:
    """Drop the rows after `last_step`, which a resumed run writes again, and damaged ones."""
    text = path.read_text(encoding="utf-8", errors="replace") if last_step and path.exists() else ""
    rows = (ROW.fullmatch(row) for row in text.splitlines(keepends=True))
    kept = [row[0] for row in rows if row and int(row[1]) <= last_step]
    write_text(path, HEADER + "".join(kept))


def append(path: Path, data: bytes, head: bytes) -> None:
    """Add all of the data or, raising OSError, nothing; a file that is gone begins with `head`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        left = data if size else head + data
        try:
            while left:  # a disk that fills up takes a part first
                left = left[file.write(left) :]
        except OSError:
            with suppress(OSError):
                file.truncate(size)
            raise
