"""Columns of labels, of which a row may have several or none."""

import polars as pl

from .tables import MISSING, Table, shown

ANSWERS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}


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
            table.refuse(row, name, f"{shown(cells[name][row])} is not 0 or 1, as a label is")
    return values
