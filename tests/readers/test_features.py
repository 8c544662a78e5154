from pathlib import Path

import numpy as np
import polars as pl
import pytest
from project.readers import features
from project.readers.features import count_numbers, find_scale, fit_columns, parts_of, prepare
from project.readers.kinds import read_columns
from project.readers.tables import Table, part_of


def table_of(frame: pl.DataFrame) -> Table:
    return Table([part_of(Path("rows"), frame)], frame.columns)


def table(rows: int) -> Table:
    cells = {
        "n": [str(row) for row in range(rows)],
        "c": ["ab"[row % 2] if row % 5 else None for row in range(rows)],
        "t": [f"2030-01-01 {row % 24:02}:00" for row in range(rows)],
    }
    return table_of(pl.DataFrame(cells))


def test_a_scale_is_that_of_a_normal_distribution_whatever_lies_far_out():
    noise = np.random.default_rng(1)
    values = np.concatenate((noise.normal(5, 2, 10_001), [1e9, np.nan]))
    centre, unit = find_scale(values)
    known = values[~np.isnan(values)]
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
    assert centre == pytest.approx(middle) and unit == pytest.approx((high - low) / 1.349)
    assert unit == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [3.0, 3.0]])
def test_a_scale_is_there_where_nothing_varies(values):
    centre, unit = find_scale(np.array(values, np.float64))
    assert unit == 1 and centre in (0, 3)


def test_rows_come_as_they_are_however_many_at_once(monkeypatch):
    monkeypatch.setattr(features, "AT_ONCE", 7)
    found = table(50)
    columns, _ = read_columns(found, {})
    about = fit_columns(found, columns, np.arange(50))
    assert about["categorical"] == {"c": ["", "a", "b"]} and count_numbers(about) == 3
    numbers, ids = prepare(found, {**columns}, np.arange(50), about)
    order = np.array([30, 2, 49])
    some = prepare(found, columns, order, about)
    assert some[0].equal(numbers[order]) and some[1].equal(ids[order])
    centre, unit = about["numeric"]["n"]
    assert (numbers[:, 0] * unit + centre).tolist() == pytest.approx([*range(50)], abs=1e-4)
    assert ids[:6, 0].tolist() == [1, 3, 2, 3, 2, 1]
    centre, unit = about["times"]["t"]["parts"]["hour"]
    hours = numbers[:, 2] * unit + centre
    assert hours.tolist() == pytest.approx([row % 24 for row in range(50)], abs=1e-4)


def test_days_are_counted_from_the_first_time():
    times = pl.Series(["2030-02-01 12:00:00", None]).str.to_datetime(time_unit="us")
    parts = parts_of(times, "2030-01-01 00:00:00")
    assert [values[0] for values in parts.values()] == [31.5, 2, 5, 12]
    assert all(np.isnan(values[1]) for values in parts.values())
