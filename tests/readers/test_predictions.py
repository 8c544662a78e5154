import csv
import json
from argparse import ArgumentTypeError

import pytest
from project.engine.errors import OUTPUT
from project.readers.predictions import table, write_rows

ROWS = [{"file": "a,\n.png", "share": 0.5}, {"file": "\u5716.png", "share": 0.25}]


@pytest.mark.parametrize("name", ["rows", "rows.txt", "csv", "nowhere/rows.csv"])
def test_another_kind_of_file_is_refused_before_anything_is_computed(name):
    with pytest.raises(ArgumentTypeError, match=name):
        table(name)


def test_what_is_written_is_read_back(tmp_path, capsys):
    for name in ("rows.CSV", "rows.jsonl"):
        write_rows(ROWS, table(str(tmp_path / name)))
        assert f"2 predictions in {tmp_path / name}" in capsys.readouterr().out
    with (tmp_path / "rows.CSV").open(encoding="utf-8", newline="") as file:
        assert [row | {"share": float(row["share"])} for row in csv.DictReader(file)] == ROWS
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_without_a_file_the_rows_are_printed(capsys):
    write_rows([{"text": "a, b", "share": 0.25, "row": 1}], None)
    assert capsys.readouterr().out == 'text,share,row\n"a, b",0.25,1\n'


def test_a_table_without_rows_has_its_columns(tmp_path, capsys):
    write_rows([], None, columns=("file", "share"))
    assert capsys.readouterr().out.splitlines() == ["file,share"]
    write_rows([], tmp_path / "rows.jsonl", columns=("file", "share"))
    assert (tmp_path / "rows.jsonl").read_text(encoding="utf-8") == ""


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        write_rows(ROWS, tmp_path / "nowhere" / "rows.csv")
    assert stopped.value.code == OUTPUT
    error = capsys.readouterr().err
    assert "rows.csv: No such file" in error and error.count("\n") == 1
