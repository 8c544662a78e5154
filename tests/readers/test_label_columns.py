from pathlib import Path

import pytest
import torch
from project.engine.errors import DATA, USAGE
from project.readers.label_columns import find_labels, label_columns, tell_lacking
from project.readers.tables import Table, read_table


def write(path: Path, *rows: str) -> Table:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return read_table([path])


def test_labels_are_0_or_1_however_they_are_written(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "a,b,c", "0,1,x", "1.0,0.0,x", "true,False,x", "1, 1 ,x")
    found = label_columns(table, ["b", "a"])
    assert found.columns == ["b", "a"]
    assert found["a"].to_list() == [0, 1, 1, 1] and found["b"].to_list() == [1, 0, 0, 1]


def test_json_and_parquet_may_say_true_and_false(tmp_path: Path) -> None:
    table = write(tmp_path / "a.jsonl", '{"a": true, "b": 0}', '{"a": false, "b": 1}')
    assert label_columns(table, ["a", "b"]).rows() == [(1, 0), (0, 1)]
    label_columns(table, ["a", "b"]).write_parquet(tmp_path / "b.parquet")
    assert label_columns(read_table([tmp_path / "b.parquet"]), ["a"])["a"].to_list() == [1, 0]


@pytest.mark.parametrize("cell", ["", "NA", "none"])
def test_a_missing_label_is_null(tmp_path: Path, cell: str) -> None:
    table = write(tmp_path / "a.csv", "a,b", f"{cell},1", "1,0")
    assert label_columns(table, ["a"])["a"].to_list() == [None, 1]


@pytest.mark.parametrize("cell", ["2", "yes", "0.5", "-1"])
def test_another_cell_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cell: str
) -> None:
    table = write(tmp_path / "a.csv", "a,b", "1,1", f"0,{cell}")
    with pytest.raises(SystemExit) as stopped:
        label_columns(table, ["a", "b"])
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert f"a.csv: line 3, column b: {cell!r} is not 0 or 1" in error and error.count("\n") == 1
    assert error.endswith("; --label-columns says which columns are\n")


def test_labels_are_chosen_or_all_other_columns(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "file,b,a,set", "x,0,1,train")
    assert find_labels(table, [], ["file", "set"], ["classes"]) == ["b", "a"]
    assert find_labels(table, ["a", "b", "a"], ["file", "set"], ["classes"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("header", "chosen", "code", "says"),
    [
        ("file,set", [], DATA, "b.csv: has no column of labels"),
        ("classes,a", [], DATA, "b.csv: rename the column classes"),
        ("file,beach", ["baech"], USAGE, "--label-columns baech: no such column in "),
    ],
)
def test_columns_that_are_no_labels_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    header: str,
    chosen: list[str],
    code: int,
    says: str,
) -> None:
    with pytest.raises(SystemExit) as stopped:
        find_labels(write(tmp_path / "b.csv", header, "1,0"), chosen, ["file", "set"], ["classes"])
    error = capsys.readouterr().err
    assert stopped.value.code == code and says in error and error.count("\n") == 1


def test_a_label_that_a_set_lacks_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    both, one = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    tell_lacking("a.csv", {"train": both, "val": one}, ["odd", "large"])
    error = capsys.readouterr().err
    assert "a.csv: val has nothing of odd" in error and "train" not in error
