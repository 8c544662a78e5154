import os
from pathlib import Path

import pytest
from project.engine.errors import DATA
from project.readers.class_folders import class_folders

KINDS = {".txt"}


def write_files(folder: Path, count: int, first: int = 0) -> None:
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        (folder / f"{number}.txt").write_text(str(number))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("dog", "cat", "eel")):
        write_files(tmp_path / "files" / name, 40, first=100 * number)
    return tmp_path / "files"


Found = dict[str, dict[str, list[int]]]


def split(folder: Path, level: int = 0) -> Found:
    """Return the numbers of the files of each set and class."""
    sets, classes = class_folders(folder, KINDS, 0, level, None)
    found: Found = {name: {one: [] for one in classes} for name in sets}
    for name, files in sets.items():
        for path, label in files:
            found[name][classes[label]].append(int(path.stem))
    return found


def refused(capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        split(folder)
    assert stopped.value.code == DATA
    return capsys.readouterr().err.splitlines()[-1]


def test_some_are_held_out_and_nothing_is_lost(folder):
    sets = split(folder)
    assert all(any(files.values()) for files in sets.values())
    for number, name in enumerate(("dog", "cat", "eel")):
        found = sorted(one for files in sets.values() for one in files[name])
        assert found == list(range(100 * number, 100 * number + 40))


def test_sets_of_ones_own_are_kept(tmp_path):
    for place, part in enumerate(("train", "valid", "test")):
        for number, name in enumerate(("cat", "dog")):
            write_files(tmp_path / part / name, 2, first=100 * place + 10 * number)
    assert split(tmp_path) == {
        "train": {"cat": [0, 1], "dog": [10, 11]},
        "val": {"cat": [100, 101], "dog": [110, 111]},
        "test": {"cat": [200, 201], "dog": [210, 211]},
    }


def test_train_and_val_are_no_classes(tmp_path):
    for part in ("train", "val"):
        for number, name in enumerate(("cat", "dog")):
            write_files(tmp_path / part / name, 40, first=100 * number)
    sets = split(tmp_path)
    assert sets["train"].keys() == {"cat", "dog"} and any(sets["test"].values())
    assert len(sets["val"]["cat"]) == 40


def test_files_of_a_group_stay_together_over_all_classes(tmp_path):
    for patient in range(40):
        for number, name in enumerate(("ill", "well")):
            write_files(tmp_path / name / f"patient {patient}", 2, first=10 * patient + 5 * number)
    sets = split(tmp_path, level=2)
    patients = [{one // 10 for found in files.values() for one in found} for files in sets.values()]
    assert all(patients) and sum(map(len, patients)) == 40


def test_too_little_to_split_is_refused(tmp_path, folder, capsys):
    assert "is in no class folder" in refused(capsys, folder / "cat")
    write_files(tmp_path / "one" / "cat", 40)
    assert "one class, cat" in refused(capsys, tmp_path / "one")
    for name in ("cat", "dog"):
        write_files(tmp_path / "few" / name, 1)
    assert "--split-seed" in refused(capsys, tmp_path / "few")


def test_a_class_that_is_not_trained_on_is_refused_and_one_that_is_not_scored_is_told(
    tmp_path, capsys
):
    for part, names in (("train", "abc"), ("val", "abc"), ("test", "ab")):
        for name in names:
            write_files(tmp_path / part / name, 2)
    split(tmp_path)
    assert "test has nothing of c" in capsys.readouterr().err
    write_files(tmp_path / "val" / "d", 2)
    assert "train has not: d" in refused(capsys, tmp_path)


def test_a_class_may_be_a_link(folder, tmp_path):
    write_files(tmp_path / "elsewhere", 40, first=300)
    (folder / "fox").symlink_to(tmp_path / "elsewhere")
    assert [*split(folder)["train"]] == ["cat", "dog", "eel", "fox"]


def test_class_names_may_be_in_any_writing(tmp_path):
    names = ["a b", "e\u0301", "\u00e9", "\u5716", "\U0001f431\u200d"]
    for number, name in enumerate(names):
        write_files(tmp_path / name, 20, first=100 * number)
    assert [*split(tmp_path)["train"]] == sorted(names)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX systems only")
def test_a_class_name_of_no_encoding_is_refused(folder, capsys):
    try:
        os.rename(folder / "cat", os.fsencode(folder) + b"/c\xe4t")
    except OSError:
        pytest.skip("this file system refuses such names itself")
    assert "not UTF-8" in refused(capsys, folder)
