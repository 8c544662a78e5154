"""Predictions as a table: printed, or in a .csv or .jsonl file."""

import csv
import json
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..engine.errors import OUTPUT, fail


def table(text: str) -> Path:
    """Check the name of --output before anything is computed."""
    path = Path(text)
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise ArgumentTypeError(f"{text}: name a .csv or a .jsonl file")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return path


def write_rows(
    rows: Sequence[dict[str, Any]], path: Path | None, columns: Sequence[str] = ()
) -> None:
    """Write a table; without a path it is printed as CSV.

    The columns are those of the first row, unless they are named, as where there may be no row.
    """
    columns = columns or list(rows[0])
    if path is None:
        write_csv(rows, columns, sys.stdout)
        return
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            if path.suffix.lower() == ".jsonl":
                file.writelines(json.dumps(row) + "\n" for row in rows)
            else:
                write_csv(rows, columns, file)
    except OSError as error:
        fail(OUTPUT, f"--output {path}: {error.strerror}")
    print(f"{len(rows)} predictions in {path}")


def write_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str], file: Any) -> None:
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
