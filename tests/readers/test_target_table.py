from pathlib import Path
from typing import Any

import polars as pl
import pytest
from project.engine.errors import DATA, USAGE
from project.readers.tables import read_table
from project.readers.target_table import Targets, target_sets, targets_table

KINDS = {".txt"}


def write_files(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")


def sets(folder: Path, *rows: str, header: str = "file,y", **config: Any) -> dict[str, Targets]:
    """Return the sets of a table of these rows; what is not given has the flag's default."""
    path = folder.parent / "targets.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    table = read_table([path])
    targets = pl.DataFrame([table.numbers("y", "--target-column")])
    flags = {"split_seed": 0, "group_level": 0, "skip_bad_samples": False} | config
    return target_sets(table, targets, folder, flags, KINDS, reads)


def reads(path: Path) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") != "bad"


def refused(capsys: pytest.CaptureFixture[str], *args: Any, code: int = DATA, **how: Any) -> str:
    with pytest.raises(SystemExit) as stopped:
        sets(*args, **how)
    assert stopped.value.code == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def content(found: dict[str, Targets]) -> dict[str, list[tuple[str, float]]]:
    return {
        name: [
            (path.name, *row) for path, row in zip(part.paths, part.values.tolist(), strict=True)
        ]
        for name, part in found.items()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path / "files", *(f"{n % 5}/{n}.txt" for n in range(60)))
    return tmp_path / "files"


ROWS = [f"{n % 5}/{n}.txt,{n / 2}" for n in range(60)]


def test_each_file_has_its_targets_and_is_in_one_set(folder: Path) -> None:
    found = content(sets(folder, *ROWS))
    assert sorted(pair for part in found.values() for pair in part) == sorted(
        (f"{n}.txt", n / 2) for n in range(60)
    )
    assert found.keys() == {"train", "val", "test"} and all(found.values())


def test_the_set_of_a_file_follows_from_its_path(folder: Path) -> None:
    found, again = content(sets(folder, *ROWS)), content(sets(folder, *ROWS[::-1][:50]))
    assert all({*again[name]} <= {*found[name]} for name in found)
    assert content(sets(folder, *ROWS, split_seed=1)) != found


def test_files_below_a_folder_stay_together(folder: Path) -> None:
    for seed in range(30):  # with five folders, some leave a set empty
        try:
            found = sets(folder, *ROWS, group_level=1, split_seed=seed)
        except SystemExit:
            continue
        groups = [{path.parent.name for path in part.paths} for part in found.values()]
        assert sum(map(len, groups)) == 5
        return
    pytest.fail("no seed divides the folders")


def test_a_column_may_say_the_set(folder: Path) -> None:
    names = ["train", "Validation", "test"]
    rows = [f"{row},{names[number % 3]}" for number, row in enumerate(ROWS)]
    found = content(sets(folder, *rows, header="file,y,part", split_column="part"))
    assert [len(found[name]) for name in ("train", "val", "test")] == [20, 20, 20]
    assert found["val"][0] == ("1.txt", 0.5)


def test_a_file_s_folder_may_say_the_set(tmp_path: Path) -> None:
    files = [f"{name}/{n}.txt" for name in ("train", "valid") for n in range(30)]
    write_files(tmp_path / "files", *files)
    found = sets(tmp_path / "files", *(f"{name},1" for name in files))
    assert {path.parent.name for path in found["val"].paths} == {"valid"}
    assert {path.parent.name for path in found["test"].paths} == {"train"}


def test_files_that_no_row_names_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets(folder, *ROWS[:-3])
    assert "files: 3 of 60 files are in no row of " in capsys.readouterr().out
    sets(folder, *ROWS)
    assert not capsys.readouterr().out


def test_what_is_bad_is_left_out_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "0/0.txt").write_text("bad", encoding="utf-8")
    rows = [*ROWS[:-1], "4/59.txt,", "gone.txt,3"]
    found = sets(folder, *rows, skip_bad_samples=True)
    assert sum(len(part.paths) for part in found.values()) == 58
    output = capsys.readouterr().out
    assert "1 of 61 rows left out, a target is empty" in output
    assert "2 of 60 files left out" in output


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("gone.txt,1", "line 62, column file: "),
        ("gone.txt,1", "gone.txt is no file (1 of 61 are missing); --skip-bad-samples"),
        ("0/0.txt,1", "'0/0.txt' is named above, in "),
        ("./0/0.txt,1", "targets.csv: line 2; a file has one row"),
        (",1", "line 62, column file: '' is no path below "),
        ("../files/0/0.txt,1", "is no path below "),
        ("/etc/hosts,1", "is no path below "),
        (f"{'long' * 200}.txt,1", "is no file"),
        ("0/0.txt,", "line 62, column y: is empty; --skip-bad-samples leaves the row out"),
        ("0/0.txt,many", "line 62, column y: 'many' is not a finite number"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], row: str, says: str
) -> None:
    assert says in refused(capsys, folder, *ROWS, row)


def test_what_says_no_set_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    how = {"header": "file,y,part", "split_column": "part"}
    rows = [f"{row},train" for row in ROWS]
    error = refused(capsys, folder, *rows[1:], "0/0.txt,1,tset", **how)
    assert "line 61, column part: 'tset' names no set" in error
    assert "no row says train" in refused(capsys, folder, "0/0.txt,1,val", **how)

    write_files(tmp_path / "files", "train/1.txt", "val/2.txt", "other/3.txt")
    error = refused(capsys, folder, "train/1.txt,1", "other/3.txt,1")
    assert "'other/3.txt' lies in none of train, val" in error and "--split-column" in error
    assert "names no file in " in refused(capsys, folder, "train/1.txt,1")


def test_a_folder_or_column_that_is_not_there_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--data" in refused(capsys, folder / "nowhere", *ROWS)
    error = refused(capsys, folder, "0/0.txt,1", header="path,y", code=USAGE)
    assert "column file: no such column" in error
    error = refused(capsys, folder, *ROWS, split_column="part", code=USAGE)
    assert "--split-column part: no such column" in error


def test_folder_table_and_column_of_files_must_be_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("path,y\n0.txt,1\n", encoding="utf-8")
    flags = {"data": str(folder), "targets": str(path)}
    for given, code, says in (
        (flags | {"data": str(tmp_path / "nowhere")}, DATA, "nowhere: no such folder"),
        ({"data": str(folder)}, USAGE, "--targets must name the table of its labels"),
        (flags | {"targets": "nowhere.csv"}, DATA, "nowhere.csv: No such file"),
        (flags, USAGE, "column file: no such column in"),
    ):
        with pytest.raises(SystemExit) as stopped:
            targets_table(given, "labels")
        error = capsys.readouterr().err
        assert stopped.value.code == code and says in error and error.count("\n") == 1
