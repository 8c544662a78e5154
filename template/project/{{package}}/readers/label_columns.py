"""Columns of labels, of which a row may have several or none."""

from collections.abc import Container, Iterable, Mapping

import polars as pl
from torch import Tensor

from ..engine.errors import DATA, fail, warn
from ..engine.processes import is_main_process
from .tables import MISSING, Table, shown

ANSWERS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}


def find_labels(
    table: Table, chosen: Iterable[str], others: Container[str], taken: Container[str]
) -> list[str]:
    """Return the columns that --label-columns has chosen, by default all but these others.

    predict.py has columns of the names that are taken.
    """
    names = [*dict.fromkeys(chosen)] or [name for name in table.columns if name not in others]
    if not names:
        fail(DATA, f"{table.name}: has no column of labels; each is one, of 0 and 1")
    for name in names:
        table.require(name, "--label-columns")
        if name in taken:
            fail(DATA, f"{table.name}: rename the column {name}; predict.py has one of this name")
    return names


def label_columns(table: Table, names: list[str]) -> pl.DataFrame:
    """Return columns as 0 and 1, null where a label is missing."""
    cells = table.read(names)
    texts = cells.with_columns(pl.all().str.strip_chars().str.to_lowercase())
    values = texts.with_columns(
        pl.all().replace_strict(ANSWERS, default=None, return_dtype=pl.Float32)
    )
    for name in names:
        missing = texts[name].is_null() | texts[name].is_in(MISSING)
        for row in (values[name].is_null() & ~missing).arg_true():
            reason = f"{shown(cells[name][row])} is not 0 or 1, as a label is"
            table.refuse(row, name, f"{reason}; --label-columns says which columns are")
    return values


def tell_lacking(place: str, sets: Mapping[str, Tensor], names: list[str]) -> None:
    """Warn of labels that no sample of a set has; the sets are (samples, labels) each."""
    for name, targets in sets.items():
        there = targets.any(dim=0).tolist()
        lacking = [label for label, is_there in zip(names, there, strict=True) if not is_there]
        if lacking and is_main_process():
            warn(f"{place}: {name} has nothing of {', '.join(lacking)}")
