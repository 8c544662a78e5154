from pathlib import Path

import pytest
from project.engine.errors import DATA, USAGE
from project.readers.set_folders import group_of, set_folders


def refused(capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        set_folders(folder)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_folders_of_sets_are_found_by_their_names(tmp_path):
    for name in ("train", "valid", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "test").write_text("no folder")
    assert set_folders(tmp_path) == {"train": tmp_path / "train", "val": tmp_path / "valid"}


def test_folders_that_leave_open_what_is_meant_are_refused(tmp_path, capsys):
    assert "nowhere" in refused(capsys, tmp_path / "nowhere")
    (tmp_path / "val").mkdir()
    assert "no train/ beside it" in refused(capsys, tmp_path)
    (tmp_path / "dev").mkdir()
    assert "for the same set" in refused(capsys, tmp_path)


def test_a_group_is_the_folder_at_its_level_or_the_file_alone():
    path = Path("left", "7", "1.png")
    assert [group_of(path, level) for level in (0, 1, 2)] == ["left/7/1.png", "left", "7"]


def test_a_level_below_the_file_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        group_of(Path("left", "1.png"), 2)
    assert stopped.value.code == USAGE
    assert "--group-level 2: left/1.png lies 1 folders deep" in capsys.readouterr().err
