from pathlib import Path

import pytest
from project.readers.split_folders import file_identity, file_sets

KINDS = {".txt"}


def write_files(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.txt").write_text(str(number))
    return folder


def split(folder: Path, level: int = 0, reads=None) -> dict[str, list[Path]]:
    return file_sets(folder, KINDS, 0, level, reads)


@pytest.mark.parametrize(
    "own", [("train",), ("train", "test"), ("train", "val"), ("train", "val", "test")]
)
def test_sets_of_ones_own_are_kept_and_the_others_held_out_of_the_training_files(tmp_path, own):
    for name in own:
        write_files(tmp_path / name / "more", 40)
    sets = split(tmp_path)
    for name in own[1:]:
        assert {*sets[name]} == {*(tmp_path / name / "more").iterdir()}
    others = [path for name in sets.keys() - {*own[1:]} for path in sets[name]]
    assert sorted(others) == sorted((tmp_path / "train/more").iterdir())


def test_the_split_does_not_follow_the_folders_place(tmp_path):
    names = []
    for place in ("here", "there"):
        folder = write_files(tmp_path / place / "files", 40)
        names.append({name: [p.name for p in paths] for name, paths in split(folder).items()})
    assert names[0] == names[1]


def test_folders_of_a_level_stay_together(tmp_path):
    for number in range(40):
        write_files(tmp_path / f"patient {number}" / "left", 2)
        write_files(tmp_path / f"patient {number}" / "right", 2)
    sets = split(tmp_path, level=1)
    patients = [{path.parts[-3] for path in paths} for paths in sets.values()]
    assert all(patients) and sum(map(len, patients)) == 40


def test_the_files_may_lie_in_a_folder_inside_each_set_s(tmp_path):
    for name in ("train", "val", "test"):
        write_files(tmp_path / "a" / name / "images" / "more", 2)
        write_files(tmp_path / "a" / name / "masks", 2)
        write_files(tmp_path / "b" / "images" / name / "more", 2)
        write_files(tmp_path / "b" / "masks" / name, 2)
    for place, inner in (("a", "{}/images"), ("b", "images/{}")):
        sets = file_sets(tmp_path / place, KINDS, 0, 0, None, inside="images")
        for name, paths in sets.items():
            folder = tmp_path / place / inner.format(name) / "more"
            assert {*paths} == {*folder.iterdir()}


def test_a_level_that_is_not_there_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        split(write_files(tmp_path / "files", 3), level=1)
    assert "--group-level 1" in capsys.readouterr().err


def test_a_folder_that_is_missing_or_too_small_is_refused(tmp_path, capsys):
    for folder in (tmp_path / "gnu", write_files(tmp_path / "files", 1)):
        with pytest.raises(SystemExit):
            split(folder)
    first, second = capsys.readouterr().err.splitlines()
    assert "gnu" in first and "too few" in second


@pytest.mark.parametrize("place", ["train", "test"])
def test_where_no_file_reads_that_is_said(tmp_path, capsys, place):
    for part in ("train", "test"):
        write_files(tmp_path / part, 4)
    with pytest.raises(SystemExit):
        split(tmp_path, reads=lambda path: path.parent.name != place)
    error = capsys.readouterr().err
    assert error.startswith(f"{tmp_path / place}: none of 4 files can be used; ")


def test_an_edited_file_has_another_identity(tmp_path):
    folder = write_files(tmp_path / "files", 1)
    before = file_identity(folder / "0.txt", folder)
    (folder / "0.txt").write_text("more")
    assert file_identity(folder / "0.txt", folder) != before
