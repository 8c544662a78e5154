import pytest
from project.engine.errors import DATA
from project.readers.hold_out import hold_out
from project.readers.sets import HELD_OUT

NAMES = [f"{number}.png" for number in range(2000)]


def test_every_sample_is_in_one_set_of_about_the_size_that_is_said():
    sets = hold_out({"train": NAMES}, str, split_seed=0)
    assert sorted(name for names in sets.values() for name in names) == sorted(NAMES)
    for name in ("val", "test"):
        assert abs(len(sets[name]) / len(NAMES) - HELD_OUT) < 0.02


def test_more_samples_move_none_of_those_before():
    few, more = (hold_out({"train": names}, str, split_seed=0) for names in (NAMES[::2], NAMES))
    assert all({*few[name]} <= {*more[name]} for name in few)


def test_another_split_seed_holds_out_others():
    first, again, other = (hold_out({"train": NAMES}, str, seed) for seed in (0, 0, 1))
    assert first == again and first["test"] != other["test"]


def test_what_has_the_same_identity_stays_together():
    sets = hold_out({"train": NAMES}, lambda name: str(int(name[:-4]) // 10), split_seed=0)
    groups = [{int(name[:-4]) // 10 for name in names} for names in sets.values()]
    assert sum(map(len, groups)) == len(NAMES) // 10


def test_a_set_of_ones_own_stays_as_it_is_and_moves_no_sample_of_the_other():
    sets = hold_out({"train": NAMES, "test": ["own.png"]}, str, split_seed=0)
    assert sets["test"] == ["own.png"]
    assert sets["val"] == hold_out({"train": NAMES}, str, split_seed=0)["val"]


def test_a_set_that_ends_empty_is_refused_where_a_place_is_to_be_named(capsys):
    assert hold_out({"train": NAMES[:1]}, str, split_seed=0)["test"] == []
    with pytest.raises(SystemExit) as stopped:
        hold_out({"train": NAMES[:1]}, str, split_seed=0, place="images")
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert "images: too few" in error and "--split-seed" in error and error.count("\n") == 1
