import pytest
from project.engine.best import Best
from project.engine.errors import USAGE


@pytest.mark.parametrize(("higher", "expected"), [(True, [1, 0, 1, 0]), (False, [1, 1, 0, 1])])
def test_best_follows_the_direction_of_its_score(higher, expected):
    best = Best("score", higher=higher, patience=0)
    assert [best.update({"score": score}) for score in (5.0, 4.0, 6.0, 3.0)] == expected


def test_patience_counts_passes_without_gain_and_survives_a_restart():
    best = Best("score", higher=True, patience=2)
    stale = []
    for score in (1.0, 1.0, 2.0, 1.5, 1.5):
        again = Best("score", higher=True, patience=2)
        again.load_state_dict(best.state_dict())
        best = again
        best.update({"score": score})
        stale.append(best.stale())
    assert stale == [False, False, False, False, True]


def test_patience_0_never_ends():
    best = Best("score", higher=True, patience=0)
    for _ in range(5):
        best.update({"score": 1.0})
    assert not best.stale()


def test_a_score_that_is_no_number_is_never_the_best():
    best = Best("score", higher=False, patience=0)
    scores = (float("nan"), 2.0, float("nan"), 1.0)
    assert [best.update({"score": score}) for score in scores] == [False, True, False, True]


def test_a_score_that_the_test_pass_does_not_give_is_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        Best("error", higher=False, patience=0).update({"loss": 1.0, "accuracy": 0.5})
    assert stopped.value.code == USAGE
    line = capsys.readouterr().err
    assert "'error'" in line and "loss, accuracy" in line and line.count("\n") == 1
