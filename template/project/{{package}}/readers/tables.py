"""Rows of a CSV or JSONL file; what is wrong with one is said with its line and column."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..engine.errors import DATA, USAGE, fail

DELIMITERS = ",;\t"
JSON_LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv", *JSON_LINES)
MISSING = {"", "na", "n/a", "nan", "none", "null"}  # in lower case, where a number may be missing
LONGEST_FIELD = 2**31 - 1  # characters; a document in a cell may have many


class Table:
    """Cells as text, "" where there is none; numbers in JSON keep the digits that they have."""

    def __init__(
        self, path: Path, columns: list[str], rows: list[list[str]], lines: list[int]
    ) -> None:
        self.path = path
        self.columns = columns
        self.rows = rows
        self.lines = lines  # where each row begins in the file, counted from 1

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str, flag: str) -> list[str]:
        """Return the cells of a column; `flag` is what chose it."""
        if name not in self.columns:
            there = short(", ".join(self.columns), 200)
            fail(USAGE, f"{flag} {name}: no such column in {self.path}; it has {there}")
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def numbers(self, name: str, flag: str) -> Tensor:
        """Return (N,) numbers in float64, NaN where one is missing."""
        cells = self.column(name, flag)
        values = [read_number(cell) for cell in cells]
        if None in values:
            row = values.index(None)
            self.refuse(row, name, f"{shown(cells[row])} is not a finite number")
        return torch.tensor(values, dtype=torch.float64)

    def refuse(self, row: int, name: str, reason: str) -> NoReturn:
        """End the run because of one cell."""
        fail(DATA, f"{self.path}: line {self.lines[row]}, column {short(name, 40)}: {reason}")


def read_number(cell: str) -> float | None:
    """Return NaN for a missing number, None for what is no number."""
    if cell.strip().lower() in MISSING:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def shown(cell: str) -> str:
    """Return a cell, to print."""
    return repr(short(cell, 40))


def short(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "..."


def read_table(path: Path) -> Table:
    """Read a file whose first line names the columns, or whose lines are JSON objects."""
    suffix = path.suffix.lower()
    if suffix not in TABLES:
        fail(DATA, f"{path}: name a file that ends in {', '.join(TABLES)}")
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")  # spreadsheets put a mark at the beginning
    except OSError as error:
        fail(DATA, f"{path}: {error.strerror}")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        fail(DATA, f"{path}: line {line} is not UTF-8; save it as UTF-8")
    table = read_json_lines(path, text) if suffix in JSON_LINES else read_csv(path, text)
    if not table.rows:
        fail(DATA, f"{path}: has no rows")
    return table


def read_csv(path: Path, text: str) -> Table:
    """Read rows as the `csv` module does; the header tells what stands between the cells."""
    csv.field_size_limit(LONGEST_FIELD)
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found, lines, first = [], [], 1
    try:
        for row in reader:
            if row:  # not a blank line
                found.append(row)
                lines.append(first)
            first = reader.line_num + 1
    except csv.Error as error:
        fail(DATA, f"{path}: line {first} begins a row that cannot be read: {error}")
    if not found:
        fail(DATA, f"{path}: is empty")
    columns, *rows = found
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        fail(DATA, f"{path}: two columns are called {short(min(twice), 40)}")
    for row, line in zip(rows, lines[1:], strict=True):
        if len(row) != len(columns):
            counts = f"{len(row)} cells, the header has {len(columns)}"
            fail(DATA, f"{path}: line {line} has {counts}; quote cells with {delimiter!r} in them")
    return Table(path, columns, rows, lines[1:])


def read_json_lines(path: Path, text: str) -> Table:
    """Read an object a line; the columns are the names that occur, in that order."""
    found: list[dict[str, Any]] = []
    lines = []
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            # numbers stay text: what is one, the task decides
            row = json.loads(content, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deep")
            fail(DATA, f"{path}: line {line} is no JSON: {reason}")
        if not isinstance(row, dict):
            fail(DATA, f'{path}: line {line} is no JSON object, as in {{"text": "..."}}')
        nested = [name for name, value in row.items() if isinstance(value, (dict, list))]
        if nested:
            name = short(nested[0], 40)
            fail(DATA, f"{path}: line {line}, column {name}: not one value but several")
        found.append(row)
        lines.append(line)
    columns = list(dict.fromkeys(name for row in found for name in row))
    rows = [[as_text(row.get(name)) for name in columns] for row in found]
    return Table(path, columns, rows, lines)


def as_text(value: str | bool | None) -> str:
    """Return a cell as CSV would have it."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value).lower()  # true, false
    return text.encode(errors="replace").decode()  # JSON may hold half a letter
