import pytest
from project.engine import errors


def test_fail_prints_one_line_and_exits_with_the_code(capsys):
    with pytest.raises(SystemExit) as stopped:
        errors.fail(errors.DATA, "a folder\n  is empty")
    assert stopped.value.code == errors.DATA
    assert capsys.readouterr().err == "a folder is empty\n"


def test_an_ending_knows_its_reason():
    with pytest.raises(errors.Ending) as stopped:
        errors.fail(errors.DATA, "a folder\n  is empty")
    assert (stopped.value.number, stopped.value.reason) == (errors.DATA, "a folder is empty")


def test_warn_prints_one_line_and_goes_on(capsys):
    errors.warn("one\ntwo\r three")
    assert capsys.readouterr().err == "one two three\n"


def test_every_code_has_one_meaning():
    codes = [value for name, value in vars(errors).items() if name.isupper()]
    assert len(set(codes)) == len(codes) == 11
    assert 0 not in codes
