from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from project.engine.errors import DATA
from project.readers.kinds import Column, as_moments, read_columns
from project.readers.tables import Table, part_of


def table_of(frame: pl.DataFrame) -> Table:
    return Table([part_of(Path("rows"), frame)], frame.columns)


def read(*cells: str | None, kind: str | None = None) -> Column:
    table = table_of(pl.DataFrame({"x": cells}, {"x": pl.String}))
    return read_columns(table, {} if kind is None else {"x": kind})[0]["x"]


def texts(column: Column) -> list[str]:
    return [column.cells[int(place)] for place in column.values]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (("1", "2.5", None), "numeric"),
        (("1", "NA", " 3 "), "numeric"),
        (("1", "a"), "categorical"),
        ((None, "NA"), "categorical"),
        ((None, None), "categorical"),
        (("2030-01-31", "2030-02-01"), "time"),
        (("2030-01-31", "NA", None), "time"),
        (("2030-01-31", "soon"), "categorical"),
        (("2030-13-31",), "categorical"),
        (("true", "false"), "categorical"),
    ],
)
def test_a_column_is_what_its_cells_are(cells, kind):
    assert read(*cells).kind == kind


def test_numbers_are_exact_and_missing_ones_nan():
    column = read("1", "0.1", "NA", None, "123456789", "1e300")
    expected = [1, 0.1, np.nan, np.nan, 123456789, 1e300]
    assert np.array_equal(column.values, expected, equal_nan=True)
    assert read("1", None).values.dtype == np.float32  # which holds whole numbers as well


def test_categories_that_mean_the_same_are_one():
    column = read("a", " a", "1.0", "1", "01", "TRUE", "true", None, "", kind="categorical")
    assert texts(column) == ["a", "a", "1", "1", "01", "true", "true", "", ""]
    assert column.cells.to_list() == ["01", "1", "a", "true", ""]


def test_none_is_a_text_here_because_a_class_may_be_called_so():
    assert texts(read("none", "scratch", "NA")) == ["none", "scratch", "NA"]


def test_the_hash_of_a_row_does_not_depend_on_kinds_and_order():
    frame = pl.DataFrame({"x": ["1", "2", "NA"], "y": ["a", None, "3"]})
    found = read_columns(table_of(frame), {})[1]
    other = table_of(frame.select("y", "x"))
    for kinds in ({"x": "categorical"}, {"x": "", "y": ""}):
        assert np.array_equal(read_columns(other, kinds)[1], found)
    swapped = table_of(frame.rename({"x": "y", "y": "x"}))
    assert not (read_columns(swapped, {})[1] == found).any()


@pytest.mark.parametrize(
    "cell",
    ["2030-01-31T18:00", "2030-01-31 18:00:00", "2030-01-31T18:00:00.5Z", "2030-01-31 18:00+02:00"],
)
def test_times_are_those_on_the_clock(cell):
    assert as_moments(pl.Series([cell])).to_list() == [datetime(2030, 1, 31, 18)]


@pytest.mark.parametrize("cell", ["2030-01-31T", "31.1.2030", "2030-01-31 25:00", "20300131", "x"])
def test_what_is_no_time_is_none(cell):
    assert as_moments(pl.Series([cell])).to_list() == [None]


@pytest.mark.parametrize(
    ("cells", "kind", "part"),
    [
        ((*map(str, range(20)), "1,5"), None, "row 21, column x: '1,5' is no finite number"),
        ((*map(str, range(20)), "inf"), None, "'inf' is no finite number"),
        (("1", "a"), "numeric", "row 2, column x: 'a'"),
        ((*(f"2030-01-{d}" for d in range(10, 30)), "x"), None, "row 21, column x: 'x' is no time"),
        (("1", "2030-01-31"), "time", "row 1, column x: '1' is no time"),
    ],
)
def test_a_cell_that_is_a_mistake_is_named(capsys, cells, kind, part):
    with pytest.raises(SystemExit) as stopped:
        read(*cells, kind=kind)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert part in error and "--categorical x" in error and error.count("\n") == 1
