"""Columns of a table as the network sees them, by what the rows to train on say of them."""

from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from ..engine.errors import warn
from ..engine.processes import is_main_process
from .kinds import Column, is_missing, places_of
from .tables import Table, shown

RARE = 2  # a category that occurs less often counts as one that is not known
NEARLY_NONE = 0.1  # of the cells such categories: then a column is told, it may be a mistake
AT_ONCE = 2**13  # rows, which then fit into the processor's own memory
NORMAL = 1.349  # spreads of a normal distribution between its quartiles

Columns = dict[str, Column]


def fit_columns(table: Table, columns: Columns, rows: np.ndarray) -> dict[str, Any]:
    """Return scales and categories, found in these rows alone."""
    about: dict[str, Any] = {"numeric": {}, "times": {}, "categorical": {}}
    for name, column in columns.items():
        values = column.values[rows]
        if column.kind == "numeric":
            about["numeric"][name] = find_scale(values)
        elif column.kind == "time":
            first = str(column.cells.gather(np.unique(values)).min() or "2000-01-01 00:00:00")
            parts = {part: found[values] for part, found in parts_of(column.cells, first).items()}
            vary = {part: find_scale(v) for part, v in parts.items() if np.nanstd(v) > 0}
            about["times"][name] = {"first": first, "parts": vary}
        else:
            about["categorical"][name] = find_categories(table, name, column, values)
    return about


def find_scale(values: np.ndarray) -> tuple[float, float]:
    """Return the median and the spread, which a few numbers far out hardly change."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    known = np.sort(known).astype(np.float64)
    low, centre, high = np.interp(
        np.array((0.25, 0.5, 0.75)) * (len(known) - 1), np.arange(len(known)), known
    )
    return rounded(centre), rounded((high - low) / NORMAL or known.std() or 1.0)


def rounded(value: float) -> float:
    """Leave out the digits that may differ between machines, so that checkpoints compare."""
    return float(f"{value:.9g}")


def parts_of(times: pl.Series, first: str) -> dict[str, np.ndarray]:
    """Return what may be told from times, as numbers; days are those since the first one."""
    start = pl.Series([first]).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us")[0]
    parts = {
        "days": (times - start).dt.total_seconds() / 86400,
        "month": times.dt.month(),
        "weekday": times.dt.weekday(),
        "hour": times.dt.hour() + times.dt.minute() / 60,
    }
    return {part: values.cast(pl.Float64).to_numpy() for part, values in parts.items()}


def find_categories(table: Table, name: str, column: Column, values: np.ndarray) -> list[str]:
    """Return the categories that occur more than once."""
    names = categories_of(column)
    counts = np.bincount(values, minlength=len(names))
    sums = pl.DataFrame({"name": names, "count": counts}).group_by("name").sum()
    often = sums.filter(pl.col("count") >= RARE)
    if often["count"].sum() < NEARLY_NONE * len(values) and is_main_process():
        reason = f"nearly no category occurs twice, as {shown(names[0])}"
        warn(f"{table.name}: column {name}: {reason}; --ignore {name} leaves it out")
    return sorted(often["name"].to_list())


def categories_of(column: Column) -> pl.Series:
    """Return the texts of a column; a missing cell is a category like others."""
    return column.cells.set(is_missing(column.cells), "")


def prepare(
    table: Table, columns: Columns, rows: np.ndarray, about: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return (rows, N) scaled numbers, NaN where one is missing, and (rows, K) ids of categories.

    An id of 0 is a category that training did not meet, or only once. Columns that have been
    prepared are taken away, because two forms of a large table need much memory.
    """
    scaled = [(columns.pop(name).values, None, scale) for name, scale in about["numeric"].items()]
    for name, time in about["times"].items():
        _, places, cells = columns.pop(name)
        parts = parts_of(cells, time["first"])
        scaled += [(parts[part], places, scale) for part, scale in time["parts"].items()]
    numbers = np.empty((len(rows), len(scaled)), np.float32)
    for first in range(0, len(rows), AT_ONCE):
        some = rows[first : first + AT_ONCE]
        for column, (values, places, (centre, unit)) in enumerate(scaled):
            part = values[some if places is None else places[some]]
            numbers[first : first + AT_ONCE, column] = scale_numbers(part, centre, unit)
    scaled.clear()
    ids = np.empty((len(rows), len(about["categorical"])), np.int64)
    for column, (name, known) in enumerate(about["categorical"].items()):
        names, places = categories_of(columns[name]), columns.pop(name).values[rows]
        numbered = places_of(names, pl.Series(known, dtype=pl.String), otherwise=-1) + 1
        ids[:, column] = numbered[places]
        new = np.flatnonzero(ids[:, column] == 0)
        if known and len(new) > len(rows) / 2 and is_main_process():
            reason = f"training knew no such category as {shown(names[int(places[new[0]])])}"
            warn(f"{table.name}: column {name}: of {len(new)} of {len(rows)} cells, {reason}")
    return torch.from_numpy(numbers), torch.from_numpy(ids)


def scale_numbers(values: np.ndarray, centre: float, unit: float) -> np.ndarray:
    """Return what float32 holds."""
    return ((values.astype(np.float64) - centre) / unit).clip(-1e30, 1e30)


def count_numbers(about: dict[str, Any]) -> int:
    return len(about["numeric"]) + sum(len(time["parts"]) for time in about["times"].values())
