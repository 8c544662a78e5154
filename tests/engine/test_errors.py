import io
import os
import sys
from contextlib import suppress
from pathlib import Path

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
    assert (stopped.value.code, stopped.value.reason) == (errors.DATA, "a folder is empty")


def test_warn_prints_one_line_and_goes_on(capsys):
    errors.warn("one\ntwo\r three")
    assert capsys.readouterr().err == "one two three\n"


def test_every_code_has_one_meaning():
    codes = [value for name, value in vars(errors).items() if name.isupper()]
    assert len(set(codes)) == len(codes) == 11
    assert 0 not in codes


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no answer from http://me:pa55@host:5000/a", "no answer from http://***@host:5000/a"),
        ("https://me:p/a@s@host", "https://***@host"),
        ("https://token@host", "https://***@host"),
        ("postgresql://u:p@ss@host/db, s3://bucket", "postgresql://***@host/db, s3://bucket"),
        ("a//b, me@host", "a//b, me@host"),
    ],
)
def test_the_password_of_an_address_is_not_shown(capsys, text, shown):
    assert errors.without_passwords(text) == shown
    with pytest.raises(errors.Ending) as stopped:
        errors.fail(errors.DATA, text)
    assert stopped.value.reason == shown and capsys.readouterr().err == f"{shown}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_a_full_disk_does_not_take_is_dropped():
    with open("/dev/full", "w") as full:
        assert errors.Output(full.fileno(), "w", closefd=False).write(b"lost") == 4


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_stream_that_takes_nothing_for_a_while_is_used_again_when_it_does():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    output = errors.Output(writing, "w")
    full = 0
    with suppress(BlockingIOError):
        while True:
            full += os.write(writing, b"x" * 4096)
    assert output.write(b"lost") == 4
    while full:
        full -= len(os.read(reading, full))
    output.write(b"there")
    output.close()
    with open(reading, "rb") as pipe:
        assert pipe.read() == b"there"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_script_ends_with_the_reader_that_it_is_for_and_once(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with errors.Output(writing, "w") as output:
        assert output.write(b"a warning") == 9
        monkeypatch.setattr(errors, "needs_reader", {writing})
        with pytest.raises(errors.Ending) as stopped:
            output.write(b"a row")
        assert stopped.value.code == 0
        assert output.write(b"at exit") == 7


def test_a_stream_that_was_closed_from_the_start_can_be_asked_all_the_same():
    with errors.open_output(None) as output:
        print("nowhere", file=output, flush=True)
        assert not output.isatty() and output.fileno() > 0


def test_a_stream_of_a_test_or_a_notebook_stays_as_it_is():
    stream = io.StringIO()
    assert errors.open_output(stream) is stream
