"""Tables in CSV, JSON lines or Parquet; what is wrong with one is said with its line and column."""

import csv
import json
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import polars as pl

from ..engine.errors import DATA, USAGE, fail

DELIMITERS = ",;\t"
JSON_LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv", *JSON_LINES, ".parquet")
MISSING = ("na", "n/a", "nan", "none", "null", "")  # in lower case, where a number may be missing
LONGEST_FIELD = 2**31 - 1  # characters; a document in a cell may have many
BLOCK, LONGEST_ROW = 3 * 2**19, 2**26  # bytes that are read at a time; and of one row
MARK = b"\xef\xbb\xbf"  # that spreadsheets put at the beginning
NEWLINE, RETURN, QUOTE = b'\n\r"'


# columns, and as what to read them where that is possible; otherwise they are text
Wanted = dict[str, type[pl.DataType]]
Blocks = Callable[[Wanted], Iterator[pl.DataFrame]]


class Part:
    """The rows of one file, which are read when columns are asked for."""

    def __init__(self, path: Path, length: int, blocks: Blocks) -> None:
        self.path = path
        self.length = length
        self.blocks = blocks  # yields these columns, cells as text, null where there is none

    @cached_property
    def lines(self) -> list[int]:
        """Where each row begins in the file, counted from 1."""
        if self.path.suffix.lower() in JSON_LINES:
            return [line for line, _ in json_rows(self.path)]
        return [line for line, _ in csv_rows(self.path)][1:]


class Table:
    """Files of the same columns as one table: cells as text, null where there is none."""

    def __init__(self, parts: list[Part], columns: list[str]) -> None:
        self.parts = parts
        self.columns = columns
        self.name = ", ".join(str(part.path) for part in parts)

    def __len__(self) -> int:
        return sum(part.length for part in self.parts)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All columns; of a table with many of them, `read` takes less memory."""
        return self.read(self.columns)

    def read(self, names: list[str]) -> pl.DataFrame:
        if "frame" in vars(self):
            return self.frame.select(names)
        return pl.concat(self.blocks(dict.fromkeys(names, pl.String)))

    def blocks(self, wanted: Wanted) -> Iterator[pl.DataFrame]:
        """Yield the rows, some at a time; numbers may be asked for from one time to the next."""
        for part in self.parts:
            yield from part.blocks(wanted)

    def column(self, name: str, flag: str) -> pl.Series:
        """Return the cells of a column as text; `flag` is what chose it."""
        self.require(name, flag)
        return self.read([name])[name]

    def require(self, name: str, flag: str) -> None:
        if name not in self.columns:
            near = get_close_matches(name, self.columns)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            there = short(", ".join(self.columns), 200)
            fail(USAGE, f"{flag} {name}: no such column in {self.name}; {hint}it has {there}")

    def numbers(self, name: str, flag: str) -> pl.Series:
        """Return a column as Float64, null where a number is missing."""
        cells = self.column(name, flag)
        values = as_numbers(cells)
        for row in values.is_nan().arg_true():
            self.refuse(row, name, f"{shown(cells[row])} is not a finite number")
        return values

    def place(self, row: int) -> str:
        """Return the file and the line in it where a row begins."""
        for part in self.parts:
            if row < part.length:
                break
            row -= part.length
        if part.path.suffix.lower() not in TABLES or part.path.suffix.lower() == ".parquet":
            return f"{part.path}: row {row + 1}"
        return f"{part.path}: line {part.lines[row]}"

    def refuse(self, row: int, name: str, reason: str) -> NoReturn:
        """End the run because of one cell."""
        fail(DATA, f"{self.place(row)}, column {short(name, 40)}: {reason}")


def as_numbers(cells: pl.Series) -> pl.Series:
    """Return cells as Float64: null where one is missing, NaN where it is no finite number."""
    values = cells.cast(pl.Float64, strict=False)
    odd = (values.is_finite().fill_null(False).not_() & cells.is_not_null()).arg_true()
    if not len(odd):
        return values
    texts = cells.gather(odd).str.strip_chars()
    again = texts.cast(pl.Float64, strict=False)
    no_number = again.set(again.is_infinite(), None).fill_null(float("nan"))
    no_number = no_number.set(texts.str.to_lowercase().is_in(MISSING), None)
    return values.scatter(odd, no_number)


def shown(cell: str | None) -> str:
    """Return a cell, to print."""
    return repr(short(cell or "", 40))


def short(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "..."


def read_table(paths: list[Path]) -> Table:
    """Read files of the same columns; a CSV file's first line names them."""
    parts, columns = [], []
    for path in paths:
        suffix = path.suffix.lower()
        if suffix not in TABLES:
            fail(DATA, f"{path}: name a file that ends in {', '.join(TABLES)}")
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            fail(DATA, f"{path}: {error.strerror}")
        kinds = {".parquet": read_parquet} | dict.fromkeys(JSON_LINES, read_json_lines)
        part, names = kinds.get(suffix, read_csv)(path)
        columns = columns or names
        if other := {*columns} ^ {*names}:
            name = short(min(other), 40)
            fail(DATA, f"{path}: {paths[0]} has other columns; {name} is in one of them only")
        if not part.length:
            fail(DATA, f"{path}: has no rows")
        parts.append(part)
    return Table(parts, columns)


def part_of(path: Path, frame: pl.DataFrame) -> Part:
    """Return rows that are in memory, text in all columns."""
    return Part(path, len(frame), lambda wanted: iter([frame.select(*wanted)]))


def read_csv(path: Path) -> tuple[Part, list[str]]:
    """Read rows, divided by what divides the header.

    What is odd, such as quotes inside a cell, Python's own reader reads, which is slow, or refuses.
    """
    _, columns = next(csv_rows(path), (0, []))
    if not columns:
        fail(DATA, f"{path}: is empty")
    if twice := {name for name in columns if columns.count(name) > 1}:
        fail(DATA, f"{path}: two columns are called {short(min(twice), 40)}")
    if found := check_structure(path, len(columns)):
        length, cuts, blank = found

        def blocks(wanted: Wanted) -> Iterator[pl.DataFrame]:
            return csv_blocks(path, columns, wanted, cuts, blank)

        return Part(path, length, blocks), columns
    rows = []
    for line, row in csv_rows(path):
        if len(row) != len(columns):
            counts = f"{len(row)} cells, the header has {len(columns)}"
            way_out = f"quote cells with {delimiter_of(path)!r} in them"
            fail(DATA, f"{path}: line {line} has {counts}; {way_out}")
        rows.append([cell or None for cell in row])
    frame = pl.DataFrame(rows[1:], dict.fromkeys(columns, pl.String), orient="row")
    return part_of(path, frame), columns


def delimiter_of(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = next((line for line in file if line.strip()), "")
    return max(DELIMITERS, key=header.count)


def check_structure(path: Path, columns: int) -> tuple[int, list[int], np.ndarray] | None:
    """Return the number of rows, places between some of them, and places to leave out.

    None where a row has another number of cells, or quotes that Polars takes otherwise.
    """
    divides = delimiter_of(path).encode()[0]
    length, cuts, blank, rest = -1, [], [np.empty(0, np.int64)], b""  # without the header
    with path.open("rb") as file:
        cut = 0 if file.read(len(MARK)) != MARK else len(MARK)
        file.seek(cut)
        for block in chain(iter(lambda: file.read(BLOCK), b""), [b"\n"]):  # the last line's end
            rest += block
            ends, cells = divide(rest, divides)
            sizes, codes = np.diff(ends, prepend=-1) - 1, np.frombuffer(rest, np.uint8)
            empty = (sizes == 0) | ((sizes == 1) & (codes[ends - 1] == RETURN))
            if (cells[~empty] != columns).any() or (not len(ends) and len(rest) > LONGEST_ROW):
                return None
            blank += [cut + ends[empty], cut + ends[empty & (sizes == 1)] - 1]
            if not cuts and not empty.all():
                cuts.append(cut + int(ends[~empty][0]) + 1)
            length += len(ends) - int(empty.sum())
            if len(ends):
                cut, rest = cut + int(ends[-1]) + 1, rest[ends[-1] + 1 :]
                cuts += [cut] * bool(cuts)
    return None if rest else (length, cuts, np.concatenate(blank))  # rest: quotes do not end


def csv_blocks(
    path: Path, columns: list[str], wanted: Wanted, cuts: list[int], blank: np.ndarray
) -> Iterator[pl.DataFrame]:
    """Yield what lies between these places, without what is to be left out."""
    with path.open("rb") as file:
        for start, end in pairwise(cuts):
            file.seek(start)
            block = file.read(end - start)
            if len(out := blank[(blank >= start) & (blank < start + len(block))]):
                block = np.delete(np.frombuffer(block, np.uint8), out - start).tobytes()
            if not block:
                continue
            places = [columns.index(name) for name in wanted]
            how: Any = {"separator": delimiter_of(path), "has_header": False, "columns": places}
            kinds = {name: wanted.get(name, pl.String) for name in columns}
            try:
                try:
                    cells = pl.read_csv(block, schema=kinds, **how)
                except pl.exceptions.PolarsError:
                    cells = pl.read_csv(block, schema=dict.fromkeys(columns, pl.String), **how)
            except pl.exceptions.PolarsError as error:
                refuse_encoding(path)
                fail(DATA, f"{path}: {error}")
            quoted = b'""' in block  # then it may be an empty cell
            yield cells.select(pl.col(*wanted).replace("", None) if quoted else pl.col(*wanted))


def divide(block: bytes, divides: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the rows end that are whole, and how many cells each has; 0 of odd quotes."""
    codes = np.frombuffer(block, np.uint8)
    ends, splits = np.flatnonzero(codes == NEWLINE), np.flatnonzero(codes == divides)
    odd = np.empty(0, np.int64)
    if b"\r" in block:  # alone it ends a row, to Python
        odd = np.flatnonzero((codes[:-1] == RETURN) & (codes[1:] != NEWLINE))
    if b'"' in block:
        quotes = np.flatnonzero(codes == QUOTE)
        ends, splits = (p[np.searchsorted(quotes, p) % 2 == 0] for p in (ends, splits))
        quotes = quotes[: np.searchsorted(quotes, ends[-1])] if len(ends) else quotes[:0]
        # a quote that opens follows a cell's beginning, one that closes comes before an end
        beside = np.array([NEWLINE, RETURN, divides, QUOTE], np.uint8)
        before, after = codes[quotes[::2] - 1], codes[quotes[1::2] + 1]
        begins = np.isin(before, beside) & (before != RETURN) | (quotes[::2] == 0)
        odd = np.concatenate((odd, quotes[::2][~begins], quotes[1::2][~np.isin(after, beside)]))
    cells = np.diff(np.searchsorted(splits, ends), prepend=0) + 1
    whole = ends[-1] if len(ends) else 0
    cells[np.searchsorted(ends, odd[odd < whole])] = 0
    return ends, cells


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that are not blank, each with the line where it begins."""
    csv.field_size_limit(LONGEST_FIELD)
    first = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter_of(path), strict=True)
            for row in reader:
                if row:
                    yield first, row
                first = reader.line_num + 1
    except csv.Error as error:
        fail(DATA, f"{path}: line {first} begins a row that cannot be read: {error}")
    except UnicodeDecodeError:
        refuse_encoding(path)


def refuse_encoding(path: Path) -> None:
    """Name the line that is not UTF-8, if one is."""
    try:
        path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        fail(DATA, f"{path}: line {line} is not UTF-8; save it as UTF-8")


def read_json_lines(path: Path) -> tuple[Part, list[str]]:
    """Read an object a line; the columns are the names that occur, in that order."""
    content = path.read_bytes().removeprefix(MARK)
    try:
        schema = pl.read_ndjson(content, infer_schema_length=None).schema
        plain = not any(kind.is_nested() for kind in schema.values())
        frame = pl.read_ndjson(content, schema=dict.fromkeys(schema, pl.String)) if plain else None
    except pl.exceptions.PolarsError:
        frame = None
    if frame is None:  # Python's own reader is slow, and says what is wrong
        rows = [row for _, row in json_rows(path)]
        columns = dict.fromkeys((name for row in rows for name in row), pl.String)
        frame = pl.DataFrame(rows, columns, orient="row")
    return part_of(path, frame.with_columns(pl.all().replace("", None))), frame.columns


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yield rows with their lines."""
    refuse_encoding(path)
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for line, content in enumerate(file, 1):
            if not content.strip():
                continue
            try:
                row = json.loads(content, parse_int=str, parse_float=str, parse_constant=str)
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", "nested too deep")
                fail(DATA, f"{path}: line {line} is no JSON: {reason}")
            if not isinstance(row, dict):
                fail(DATA, f'{path}: line {line} is no JSON object, as in {{"text": "..."}}')
            for name, value in row.items():
                if isinstance(value, (dict, list)):
                    where = f"line {line}, column {short(name, 40)}"
                    fail(DATA, f"{path}: {where}: not one value but several")
            yield line, {name: as_text(value) for name, value in row.items()}


def as_text(value: str | bool | None) -> str | None:
    """Return a value of JSON as a cell."""
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value).lower()  # true, false
    return text.encode(errors="replace").decode()  # JSON may hold half a letter


def read_parquet(path: Path) -> tuple[Part, list[str]]:
    """Read a file whose columns have types, as the text that a CSV file would have."""
    try:
        rows = pl.scan_parquet(path, glob=False)
        schema = rows.collect_schema()
        length = rows.select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError) as error:
        fail(DATA, f"{path}: {error}")
    cells = []
    for name, kind in schema.items():
        cell = pl.col(name)
        if kind.is_nested() or kind in (pl.Binary, pl.Duration, pl.Object):
            way_out = "a text, a number, a date or a time"
            fail(DATA, f"{path}: column {name}: its cells are {kind}, and not {way_out}")
        if kind.is_float():
            cell = cell.fill_nan(None)
        cell = cell.dt.to_string("%Y-%m-%d %H:%M:%S%.f") if kind == pl.Datetime else cell
        cells.append(cell.cast(pl.String).replace("", None))
    cells = rows.select(cells)
    return Part(
        path, length, lambda wanted: iter([cells.select(*wanted).collect()])
    ), schema.names()
