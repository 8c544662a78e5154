import errno
import io
import os

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


class Broken(io.StringIO):
    """A stream that fails as long as it is told to."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        if self.number:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)

    def flush(self) -> None:
        self.write("")


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EAGAIN])
def test_a_stream_that_fails_drops_its_text_and_is_used_again_when_it_works(number):
    stream = Broken(number)
    output = errors.Output(stream)
    print("lost", file=output, flush=True)
    stream.number = 0
    print("there", file=output)
    assert stream.getvalue() == "there\n"
    stream.close()
    print("closed", file=output, flush=True)


def test_a_script_ends_with_the_reader_that_it_is_for():
    output = errors.Output(Broken(errno.EPIPE), needs_reader=True)
    with pytest.raises(errors.Ending) as stopped:
        print("a row", file=output)
    assert stopped.value.number == 0
    print("at exit", file=output, flush=True)


def test_a_stream_that_was_closed_from_the_start_can_be_asked_all_the_same():
    output = errors.Output(None)
    print("nowhere", file=output, flush=True)
    assert not output.isatty() and output.fileno() > 0
