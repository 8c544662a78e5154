import pytest
from project.engine.errors import DATA
from project.readers.split_column import said_sets


def refused(capsys: pytest.CaptureFixture[str], *cells: str | None) -> str:
    with pytest.raises(SystemExit) as stopped:
        said_sets("part", cells, "a.csv: line {}".format)
    assert stopped.value.code == DATA
    return capsys.readouterr().err


def test_a_cell_names_a_set_however_it_is_spelt() -> None:
    found = said_sets("part", ["train", " Dev ", "testing", "train"], str)
    assert found == {"train": [0, 3], "val": [1], "test": [2]}


@pytest.mark.parametrize("cell", [None, "", "tset"])
def test_a_cell_that_names_no_set_is_named(
    capsys: pytest.CaptureFixture[str], cell: str | None
) -> None:
    error = refused(capsys, "train", cell)
    assert f"a.csv: line 1, column part: {cell or ''!r} names no set" in error


def test_rows_to_train_on_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--split-column part: no row says train" in refused(capsys, "val", "test")
