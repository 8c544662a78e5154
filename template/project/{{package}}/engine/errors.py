"""What a script says, in one line, when it cannot go on, and the code it leaves behind."""

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
        self.number, self.reason = code, without_passwords(reason)


def without_passwords(text: str) -> str:
    """Return the text with *** for the user and the password in each address, as of a server."""
    return re.sub(r"(?<=//)\S+@", "***@", text)


def warn(message: str) -> None:
    print(without_passwords(" ".join(message.split())), file=sys.stderr, flush=True)


def fail(code: int, message: str) -> NoReturn:
    warn(message)
    raise Ending(code, " ".join(message.split()))


class Output:
    """A stream that drops what cannot be written: its reader or terminal is gone, its disk full.

    Where the output is all there is, as in `predict.py | head`, the script ends with its reader.
    """

    def __init__(self, stream: TextIO | None, *, needs_reader: bool = False) -> None:
        if isinstance(stream, TextIOWrapper):  # its encoding may lack letters that a path has
            stream.reconfigure(errors="backslashreplace")
        # none: it was closed when Python started
        self.stream: Any = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
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
        except (OSError, ValueError) as error:  # a ValueError where somebody closed the stream
            if self.needs_reader and isinstance(error, BrokenPipeError):
                self.needs_reader = False
                raise Ending(0, "nobody reads the output any more") from None

    def finish(self) -> None:
        """Send what still cannot be written nowhere, or Python would complain when it ends."""
        try:
            self.stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
