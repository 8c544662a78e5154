"""What a run says, in one line, when it cannot go on, and the code it leaves behind."""

import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO

BUG = 1  # an error that nobody foresaw, with its traceback
USAGE = 2  # the command line is wrong
DATA = 65  # the data cannot be used
DEVICE = 69  # the device is missing or cannot do what was asked
DIVERGED = 70  # the loss or a weight is no longer finite
MEMORY = 71  # out of memory, of the device or of the machine
OUTPUT = 73  # the output folder cannot be used
NOT_WRITTEN = 74  # a checkpoint could not be written
STOPPED = 75  # stopped and saved: run again to resume
MISMATCH = 78  # the checkpoint or configuration does not fit
INTERRUPTED = 130  # ended at once by a second Ctrl-C, without saving


class BadSampleError(Exception):
    """A sample of the data set that cannot be used; says which, and the way out."""


class Ending(SystemExit):  # noqa: N818 (no error: the run may have been asked to stop)
    """The end of a run, whose reason has been printed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code)
        self.number = code
        self.reason = without_passwords(reason)


def warn(message: str) -> None:
    """Print one line to stderr, whatever the message was made of."""
    print(without_passwords(" ".join(message.split())), file=sys.stderr, flush=True)


def fail(code: int, message: str) -> NoReturn:
    """Print one line to stderr and exit with `code`."""
    warn(message)
    raise Ending(code, " ".join(message.split()))


def without_passwords(text: str) -> str:
    """Return the text with *** for the user and the password in each address, as of a server."""
    return re.sub(r"(?<=//)\S+@", "***@", text)


class Output:
    """A stream that drops what cannot be written: its reader or terminal is gone, its disk full.

    Where the output is all there is, as in `predict.py | head`, the script ends with its reader.
    """

    def __init__(self, stream: TextIO | None, *, needs_reader: bool = False) -> None:
        if isinstance(stream, Output):
            stream = stream.stream
        if stream is None:  # it was closed when Python started
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (to the end)
        if isinstance(stream, TextIOWrapper):  # which may lack letters that a path has
            stream.reconfigure(errors="backslashreplace")
        self.stream = stream
        self.needs_reader = needs_reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        self.attempt(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        self.attempt(self.stream.flush)

    def attempt(self, action: Callable[..., object], *arguments: str) -> None:
        try:
            action(*arguments)
        except BrokenPipeError:
            if self.needs_reader:
                self.needs_reader = False
                raise Ending(0, "nobody reads the output any more") from None
        except (OSError, ValueError):  # a ValueError where somebody closed the stream
            pass

    def finish(self) -> None:
        """Send what still cannot be written nowhere, or Python would complain when it ends."""
        self.needs_reader = False
        try:
            self.stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def outlive_readers() -> None:
    """Go on from here although nobody may read what is printed."""
    if isinstance(sys.stdout, Output):
        sys.stdout.needs_reader = False
