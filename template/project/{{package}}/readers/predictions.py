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
    if path.suffix not in (".csv", ".jsonl"):
        raise ArgumentTypeError(f"{text}: name a .csv or a .jsonl file")
    return path


def write_rows(rows: Sequence[dict[str, Any]], path: Path | None) -> None:
    """Write a table with the first row's columns; without a path it is printed as CSV."""
    if path is None:
        write_csv(rows, sys.stdout)
        return
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            if path.suffix == ".jsonl":
                file.writelines(json.dumps(row) + "\n" for row in rows)
            else:
                write_csv(rows, file)
    except OSError as error:
        fail(OUTPUT, f"--output {path}: {error.strerror}")
    print(f"{len(rows)} predictions in {path}")


def write_csv(rows: Sequence[dict[str, Any]], file: Any) -> None:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
