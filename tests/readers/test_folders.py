import os
from pathlib import Path

import pytest
from project.engine.errors import DATA
from project.readers.folders import find_files, leave_out

KINDS = {".txt"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("dog", "cat"):
        (tmp_path / name).mkdir()
        for number in range(5):
            (tmp_path / name / f"{number}.txt").write_text(str(number))
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], function, *arguments) -> str:
    with pytest.raises(SystemExit) as stopped:
        function(*arguments)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_the_order_is_that_of_the_names_whatever_the_file_system_says(folder, monkeypatch):
    before = find_files([folder], KINDS)
    walk = os.walk

    def backwards(*where, **how):
        for place, folders, names in walk(*where, **how):
            yield place, sorted(folders)[::-1], sorted(names)[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert find_files([folder], KINDS) == before


def test_named_files_are_taken_whatever_their_kind(folder):
    other = folder / "notes.md"
    other.write_text("")
    assert find_files([other, folder / "cat"], KINDS)[0] == other
    assert other not in find_files([folder], KINDS)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_not_read_but_a_broken_link_is_told(folder):
    os.mkfifo(folder / "pipe.txt")
    (folder / "link.txt").symlink_to("nowhere.txt")
    found = find_files([folder], KINDS)
    assert folder / "pipe.txt" not in found and folder / "link.txt" in found


def test_nothing_to_read_is_refused(folder, capsys):
    (folder / "fox").mkdir()
    (folder / "fox" / "notes.md").write_text("none yet")
    assert "fox" in refused(capsys, find_files, [folder / "fox"], KINDS)
    assert "no such file" in refused(capsys, find_files, [folder / "gnu"], KINDS)


def test_files_that_do_not_read_are_left_out_and_counted(folder, capsys):
    paths = find_files([folder], KINDS)
    assert len(leave_out(paths, folder, lambda path: path.stem != "3")) == 8
    assert f"{folder}: 2 of 10 files left out" in capsys.readouterr().out
    error = refused(capsys, leave_out, paths, folder, lambda path: False)
    assert error.startswith(f"{folder}: none of 10 files can be used; ")


def test_links_are_followed_but_lead_nowhere_twice(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    (other / "6.txt").write_text("6")
    (folder / "fox").symlink_to(other)
    (folder / "cat" / "loop").symlink_to(folder)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "7.txt").write_text("7")
    found = find_files([folder], KINDS)
    assert len(found) == 11 and folder / "fox" / "6.txt" in found
