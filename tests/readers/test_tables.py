import csv
import io
import random
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from project.engine.errors import DATA, USAGE, Ending
from project.readers import tables
from project.readers.tables import Table, part_of, read_table


def table_of(frame: pl.DataFrame) -> Table:
    return Table([part_of(Path("rows"), frame)], frame.columns)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, name: str, content: str | bytes) -> Table:
    return read_table([write(folder, name, content)])


def rows(table: Table) -> list[list[str | None]]:
    """Return the rows, after each column has been read by itself, too."""
    assert len(table) == len(table.frame)
    for name in table.columns:
        assert table.column(name, "--x").equals(table.frame[name])
    return [[*row] for row in table.frame.rows()]


def lines(table: Table) -> list[int]:
    return [int(table.place(row).rpartition(" ")[2]) for row in range(len(table))]


def refused(capsys: pytest.CaptureFixture[str], *paths: Path, code: int = DATA) -> str:
    with pytest.raises(SystemExit) as stopped:
        _ = read_table([*paths]).frame
    assert stopped.value.code == code
    return one_line(capsys)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_cells_come_back_as_they_were_written(tmp_path):
    cells = [["plain", "1.50"], ["a, b; c", ""], ['say "no"', "-3e2"], ["two\nlines", "\u00e9"]]
    content = io.StringIO()
    csv.writer(content).writerows([["text", "value"], *cells])
    table = read(tmp_path, "a.csv", content.getvalue())
    assert table.columns == ["text", "value"] and len(table) == 4
    assert rows(table) == [[cell or None for cell in row] for row in cells]
    assert lines(table) == [2, 3, 4, 5]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_header_tells_what_stands_between_cells(tmp_path, delimiter, end, mark):
    text = end.join(delimiter.join(row) for row in (("id", "text", "n"), ("1", "a|b", "02")))
    table = read(tmp_path, "a.csv", mark + text.encode())
    assert table.columns == ["id", "text", "n"] and rows(table) == [["1", "a|b", "02"]]


def test_a_single_column_needs_no_delimiter(tmp_path):
    assert rows(read(tmp_path, "a.csv", "value\n1\n2\n")) == [["1"], ["2"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_those_of_the_file(tmp_path, end):
    text = end.join(("", "a,b", "", '1,"x', "y", 'z"', "", "2,w", ",", "", ""))
    table = read(tmp_path, "a.csv", text)
    assert [row[0] for row in rows(table)] == ["1", "2", None]
    assert lines(table) == [4, 8, 9]


def test_a_long_document_fits_into_a_cell(tmp_path):
    text = "word " * 400_000
    assert rows(read(tmp_path, "a.csv", f"text,n\n{text},1\n")) == [[text, "1"]]


def test_quotes_inside_a_cell_are_part_of_it(tmp_path):
    table = read(tmp_path, "a.csv", 'a,b\n1,a 5" pipe\n2,a 6" pipe\n')
    assert rows(table) == [["1", 'a 5" pipe'], ["2", 'a 6" pipe']]


def test_any_file_is_read_as_python_reads_it_or_refused(tmp_path, monkeypatch, capsys):
    noise, kinds = random.Random(1), ["a", "1", '"', ",", "\n", '"a,b"', '"a\n"', '""', ""]
    read_some = 0
    for _ in range(300):
        monkeypatch.setattr(tables, "BLOCK", noise.choice([1, 7, 1000]))
        text = "x,y\n" + "".join(
            ",".join(noise.choices(kinds, [9, 9, 0.3, 0.3, 0.3, 2, 2, 2, 4], k=2)) + "\n"
            for _ in range(4)
        )
        try:
            found = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        except csv.Error:
            found = [[]]
        path = write(tmp_path, "a.csv", text)
        if any(len(row) != 2 for row in found):
            with pytest.raises(Ending):
                read_table([path])
        else:
            read_some += 1
            assert rows(read_table([path])) == [[cell or None for cell in r] for r in found[1:]]
    assert 50 < read_some < 290
    capsys.readouterr()


def test_several_files_are_one_table(tmp_path):
    first = write(tmp_path, "a.csv", "a,b\n1,2\n\n3,4\n")
    second = write(tmp_path, "b.jsonl", '{"b": "x", "a": true}\n')
    table = read_table([first, second])
    assert rows(table) == [["1", "2"], ["3", "4"], ["true", "x"]]
    assert [table.place(row) for row in range(3)] == [
        *(f"{first}: line 2", f"{first}: line 4", f"{second}: line 1")
    ]


def test_files_of_other_columns_are_refused(tmp_path, capsys):
    paths = write(tmp_path, "a.csv", "a,b\n1,2\n"), write(tmp_path, "b.csv", "a,c\n1,2\n")
    error = refused(capsys, *paths)
    assert str(paths[1]) in error and "b is in one of them only" in error


def test_json_lines_are_the_same_table(tmp_path):
    content = '{"text": "a\\u00e9", "n": 1.5}\n\n{"n": null, "ok": true}\n{"text": "", "n": 7}'
    table = read(tmp_path, "a.jsonl", content)
    assert table.columns == ["text", "n", "ok"]
    assert rows(table) == [["a\u00e9", "1.5", None], [None, None, "true"], [None, "7", None]]
    assert lines(table) == [1, 3, 4]


def test_values_of_several_kinds_make_a_column_of_json_lines(tmp_path):
    values = ("1", '"007"', "true", "2.5", "123456789012345678901234567890")
    table = read(tmp_path, "a.jsonl", "".join('{"a": ' + value + "}\n" for value in values))
    assert [row[0] for row in rows(table)] == [value.strip('"') for value in values]


def test_nan_which_is_no_json_is_read(tmp_path):
    table = read(tmp_path, "a.jsonl", '{"a": NaN}\n{"a": 1.50}\n{"b": "x"}\n')
    assert rows(table) == [["NaN", None], ["1.50", None], [None, "x"]]


def test_a_line_separator_inside_a_text_ends_no_row(tmp_path):
    assert rows(read(tmp_path, "a.jsonl", '{"text": "a\u2028b"}\n')) == [["a\u2028b"]]


def test_half_a_letter_is_replaced(tmp_path):
    found = rows(read(tmp_path, "a.jsonl", '{"text": "a\\ud83d"}\n'))[0][0]
    assert found and found.encode()[:1] == b"a"


def test_parquet_is_the_text_that_a_csv_file_would_have(tmp_path):
    columns = {
        "number": [0.1, float("nan"), 1e-30],
        "whole": [1, 2, None],
        "text": ["a, b", "", None],
        "yes": [True, False, None],
        "date": [datetime(2030, 1, 31, 18), None, None],
    }
    path = tmp_path / "a.parquet"
    pl.DataFrame(columns).write_parquet(path)
    table = read_table([path])
    assert table.columns == list(columns)
    assert rows(table) == [
        ["0.1", "1", "a, b", "true", "2030-01-31 18:00:00"],
        [None, "2", None, "false", None],
        ["1e-30", None, None, None, None],
    ]
    assert table.place(1) == f"{path}: row 2"


@pytest.mark.parametrize(
    ("columns", "part"), [({"a": []}, "no rows"), ({"a": [1], "b": [[1, 2]]}, "column b")]
)
def test_a_parquet_file_without_plain_rows_is_refused(tmp_path, capsys, columns, part):
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    assert part in refused(capsys, tmp_path / "a.parquet")


@pytest.mark.parametrize("content", [b"", b"text", b"PAR1" + bytes(30) + b"PAR1"])
def test_what_is_no_parquet_file_is_refused(tmp_path, capsys, content):
    path = write(tmp_path, "a.parquet", content)
    assert str(path) in refused(capsys, path)


def numbers(cells: list[str]) -> pl.Series:
    return table_of(pl.DataFrame({"x": cells})).numbers("x", "--x")


def test_numbers_keep_every_digit_and_may_be_missing():
    cells = ["1", "-2.5e-3", " 0.1 ", "", "NA", "nan", " None ", "+7"]
    assert numbers(cells).to_list() == [1.0, -0.0025, 0.1, None, None, None, None, 7.0]


@pytest.mark.parametrize("cell", ["abc", "inf", "1,5", "12 kg", "1e999", "1_000"])
def test_what_is_no_number_is_named_with_its_place(tmp_path, capsys, cell):
    table = read(tmp_path, "a.csv", f'id,x\na,1\n\nb,"{cell}"\n')
    with pytest.raises(SystemExit) as stopped:
        table.numbers("x", "--x")
    assert stopped.value.code == DATA
    assert f"a.csv: line 4, column x: '{cell}'" in one_line(capsys)


def test_a_cell_of_many_pages_is_not_printed_whole(capsys):
    with pytest.raises(SystemExit):
        numbers(["word\n" * 1000])
    assert len(one_line(capsys)) < 120


def test_a_column_that_is_not_there_is_answered_with_those_that_are(capsys, tmp_path):
    table = read(tmp_path, "a.csv", "text,label\na,b\n")
    with pytest.raises(SystemExit) as stopped:
        table.column("labels", "--label-column")
    assert stopped.value.code == USAGE
    error = one_line(capsys)
    assert "--label-column labels" in error and "did you mean label?" in error
    assert "text, label" in error


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.txt", "text\na\n", [".csv", ".jsonl"]),
        ("a.csv", "", ["is empty"]),
        ("a.csv", "\n\n", ["is empty"]),
        ("a.csv", "text,label\n", ["no rows"]),
        ("a.csv", "a,b,a\n1,2,3\n", ["two columns", "called a"]),
        ("a.csv", "a,b\n1,2\n\n3\n", ["line 4", "1 cells", "header has 2"]),
        ("a.csv", "a,b\n1,2,3\n", ["line 2", "3 cells", "quote"]),
        ("a.csv", 'a,b\n1,2\n3,"never ends\n5,6\n', ["line 3", "unexpected end"]),
        ("a.csv", 'a,b\n"x"y,2\n', ["line 2"]),
        ("a.csv", b"a,b\n1,2\n3,\xff\n", ["line 3", "UTF-8"]),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), ["line 1", "UTF-8"]),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', ["line 2", "UTF-8"]),
        ("a.jsonl", "\n", ["no rows"]),
        ("a.jsonl", '{"a": 1}\n{"a": \n', ["line 2", "no JSON"]),
        ("a.jsonl", "[1, 2]\n", ["line 1", "object"]),
        ("a.jsonl", '{"a": [1, 2]}\n', ["line 1", "column a", "several"]),
        ("a.jsonl", '{"a": 1}\n{"a": {"b": 2}}\n', ["line 2", "column a", "several"]),
        ("a.jsonl", "[" * 100_000, ["line 1"]),
    ],
)
def test_a_file_that_does_not_read_is_one_line_with_the_place(
    capsys, tmp_path, name, content, parts
):
    error = refused(capsys, write(tmp_path, name, content))
    assert name in error and all(part in error for part in parts)


def test_a_missing_file_and_a_folder_are_refused(capsys, tmp_path):
    assert "No such file" in refused(capsys, tmp_path / "nowhere.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "folder.csv" in refused(capsys, tmp_path / "folder.csv")
