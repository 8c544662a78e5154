"""Columns of a table as what they look like: numbers, times or categories."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from .row_hash import hash_cells, hash_numbers, hash_texts
from .tables import MISSING, Table, Wanted, as_numbers, shown

NEARLY_ALL = 0.9  # of the cells numbers: then the others are mistakes
TIME = r"^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:\.\d+)? ?(?:Z|[+-]\d\d:?\d\d)?)?$"


class Column(NamedTuple):
    kind: str  # "numeric", "time" or "categorical"
    values: np.ndarray  # numbers, NaN where one is missing, or places in `cells`
    cells: pl.Series  # the different times or categories, each once; the last is the missing one


def read_columns(
    table: Table, kinds: Mapping[str, str], names: list[str] | None = None
) -> tuple[dict[str, Column], np.ndarray]:
    """Return the columns, and a hash of each row, which the kinds do not change.

    A column has the kind that is named, "" for none; or the one that it looks like.
    """
    names = table.columns if names is None else names
    numbers: dict[str, np.ndarray] = {}
    texts: dict[str, list[pl.Series]] = {name: [] for name in names}
    wanted: Wanted = dict.fromkeys(names, pl.String)
    first = 0
    for block in table.blocks(wanted):
        rows = slice(first, first := first + len(block))
        for name in names:
            part = compact(block.drop_in_place(name), kinds.get(name) in ("categorical", "time"))
            if isinstance(part, pl.Series):
                texts[name].append(part)
                continue
            if name not in numbers:
                numbers[name] = np.empty(len(table), part.dtype)
            numbers[name] = numbers[name].astype(np.result_type(numbers[name], part), copy=False)
            numbers[name][rows] = part
            wanted[name] = pl.Float64
    columns, hashes = {}, np.zeros(len(table), np.uint64)
    for name in names:
        values, found, kind = numbers.pop(name, None), texts.pop(name), kinds.get(name)
        if not found and values is not None:
            added = hash_numbers(values, hash_texts(pl.Series([name])))
            column = Column("numeric", values, pl.Series([""]))
            if kind is None and np.isnan(values).all():
                column = Column("categorical", np.zeros(len(values), np.uint32), pl.Series([""]))
        else:
            if values is not None:  # only here and there a number: as text it is to be known, too
                found = [table.read([name])[name].cast(pl.Categorical)]
            column, added = read_texts(table, pl.concat(found), kind)
        hashes += added
        if kind != "":
            columns[name] = column
    return columns, hashes


def compact(cells: pl.Series, is_text: bool) -> np.ndarray | pl.Series:
    """Return cells as numbers if all are plain ones or empty, otherwise as Categorical."""
    values = cells.cast(pl.Float64, strict=False).to_numpy() if not is_text else np.empty(0)
    if is_text or np.isfinite(values).sum() < len(cells) - cells.null_count():
        return cells.cast(pl.String).cast(pl.Categorical)
    with np.errstate(over="ignore"):
        small = values.astype(np.float32)  # half the memory, and as exact for most whole numbers
    return small if np.array_equal(small, values, equal_nan=True) else values


def read_texts(table: Table, cells: pl.Series, kind: str | None) -> tuple[Column, np.ndarray]:
    """Return the column, and a hash of each cell; what a cell means is found once for its like."""
    different = cells.unique().drop_nulls()
    raw = different.cast(pl.String)
    codes = different.to_physical().to_numpy()
    numbered = np.full(codes.max() + 2, len(raw), np.uint32)
    numbered[codes] = np.arange(len(raw))
    places = numbered[cells.to_physical().fill_null(len(numbered) - 1).to_numpy()]
    texts, lacks = as_categories(raw), is_missing(raw)
    numbers, moments = as_numbers(raw), as_moments(texts).set(lacks, None)
    name = hash_texts(pl.Series([cells.name]))
    hashes = np.append(hash_cells(texts, name), np.uint64(0))[places]
    counts = np.bincount(places, minlength=len(raw) + 1)[:-1]
    kind = find_kind(raw, numbers, moments, counts) if kind is None else kind
    wrong = {"numeric": numbers.is_nan(), "time": moments.is_null() & ~lacks}.get(kind)
    if wrong is not None and wrong.any():
        row = int(np.isin(places, wrong.arg_true().to_numpy()).argmax())
        what = "finite number such as 1.5" if kind == "numeric" else "time such as 2030-01-31"
        reason = f"{shown(raw[int(places[row])])} is no {what}, in a column of them"
        table.refuse(row, cells.name, f"{reason}; mend it, or --categorical {cells.name}")
    if kind == "numeric":
        return Column(kind, np.append(numbers.to_numpy(), np.nan)[places], pl.Series([""])), hashes
    if kind == "time":
        return Column(kind, places, moments.extend_constant(None, 1)), hashes
    # different cells may be one category
    same = texts.filter(texts != "").unique().sort().extend_constant("", 1)
    found = np.append(places_of(texts, same), len(same) - 1).astype(np.uint32)
    return Column("categorical", found[places], same), hashes


def find_kind(raw: pl.Series, numbers: pl.Series, moments: pl.Series, counts: np.ndarray) -> str:
    """Return what nearly all cells are; it is a mistake then that others are not."""
    here = ~is_missing(raw)
    present = counts[here.to_numpy()].sum()
    if not present:
        return "categorical"
    commas = as_numbers(raw.str.replace(",", ".", literal=True))
    alike = counts[(commas.is_not_nan() & here).fill_null(False).to_numpy()].sum()
    if alike > NEARLY_ALL * present or not numbers.is_nan().any():
        return "numeric"
    dates = counts[moments.is_not_null().to_numpy()].sum()
    return "time" if dates > NEARLY_ALL * present else "categorical"


def places_of(texts: pl.Series, known: pl.Series, otherwise: int = 0) -> np.ndarray:
    """Return where each text is among these."""
    if not len(known):
        return np.full(len(texts), otherwise)
    found = texts.replace_strict(known, range(len(known)), default=otherwise, return_dtype=pl.Int64)
    return found.to_numpy()


def is_missing(texts: pl.Series) -> pl.Series:
    return texts.str.strip_chars().str.to_lowercase().is_in(MISSING)


def as_categories(texts: pl.Series) -> pl.Series:
    """Return 1 for 1.0, which other programs make of it where a cell is missing; true for True."""
    texts = texts.str.strip_chars().str.replace(r"^(-?\d+)\.0+$", "$1")
    return texts.replace({"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"})


def as_moments(texts: pl.Series) -> pl.Series:
    """Return dates and times in the form of ISO 8601, as on the clock of their zone."""
    date, minute, second = (texts.str.extract(TIME, group) for group in (1, 2, 3))
    moments = date + " " + minute.fill_null("00:00") + second.fill_null(":00")
    return moments.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
