from pathlib import Path

import pytest
from project.engine.errors import DATA
from project.readers.sets import HELD_OUT, hold_out, missing, set_called, set_folders

NAMES = [f"{number}.png" for number in range(2000)]


def refused(capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        set_folders(folder)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_every_sample_is_in_one_set_of_about_the_size_that_is_said():
    sets = hold_out(NAMES, str, split_seed=0)
    assert sorted(name for names in sets.values() for name in names) == sorted(NAMES)
    for name in ("val", "test"):
        assert abs(len(sets[name]) / len(NAMES) - HELD_OUT) < 0.02


def test_more_samples_move_none_of_those_before():
    few, more = (hold_out(names, str, split_seed=0) for names in (NAMES[::2], NAMES))
    assert all({*few[name]} <= {*more[name]} for name in few)


def test_another_split_seed_holds_out_others():
    first, again, other = (hold_out(NAMES, str, seed) for seed in (0, 0, 1))
    assert first == again and first["test"] != other["test"]


def test_what_has_the_same_identity_stays_together():
    sets = hold_out(NAMES, lambda name: str(int(name[:-4]) // 10), split_seed=0)
    groups = [{int(name[:-4]) // 10 for name in names} for names in sets.values()]
    assert sum(map(len, groups)) == len(NAMES) // 10


def test_a_set_of_ones_own_is_not_held_out():
    sets = hold_out(NAMES, str, 0, missing(["train", "test"]))
    assert sets.keys() == {"train", "val"}
    assert sets["val"] == hold_out(NAMES, str, 0)["val"]


@pytest.mark.parametrize(
    ("name", "found"), [("Validation", "val"), ("dev", "val"), ("TESTING", "test"), ("tests", None)]
)
def test_the_usual_spellings_are_known(name, found):
    assert set_called(name) == found


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
