from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from project.engine.errors import DATA
from project.readers.numbers import mean_and_unit, number_column
from project.readers.tables import Table, read_table


def write(path: Path, *cells: str) -> Table:
    path.write_text("\n".join(("name,age", *(f"x,{cell}" for cell in cells))) + "\n", "utf-8")
    return read_table([path])


def test_a_missing_number_is_null(tmp_path: Path) -> None:
    found = number_column(write(tmp_path / "a.csv", "1.5", "", "-2e3"), "age")
    assert found.columns == ["age"] and found["age"].to_list() == [1.5, None, -2000.0]


@pytest.mark.parametrize("cell", ["1e31", "-1e31"])
def test_what_float32_cannot_square_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cell: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        number_column(write(tmp_path / "a.csv", "1", cell), "age")
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert "a.csv: line 3, column age: " in error and "is too large for float32" in error


@pytest.mark.parametrize("has_them", [True, False])
def test_mean_and_unit_are_those_of_the_numbers(has_them: bool) -> None:
    numbers = torch.tensor([[1.0], [2.0], [6.0]])
    pairs = [(torch.zeros(3), number) for number in numbers]
    found = mean_and_unit(SimpleNamespace(targets=numbers) if has_them else pairs)
    assert found == {"mean": 3.0, "unit": pytest.approx((14 / 3) ** 0.5, rel=1e-5)}


@pytest.mark.parametrize("numbers", [[5.0, 5.0], [2_000_000.0, 2_000_001.0]])
def test_numbers_that_hardly_differ_are_refused(
    capsys: pytest.CaptureFixture[str], numbers: list[float]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        mean_and_unit(SimpleNamespace(targets=torch.tensor(numbers)))
    assert stopped.value.code == DATA and "hardly differ" in capsys.readouterr().err
