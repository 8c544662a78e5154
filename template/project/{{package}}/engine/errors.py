"""What a script says, in one line, when it cannot go on, and the code it leaves behind."""

import os
import re
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any, NoReturn

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

# standard output, where it is all there is: `predict.py | head` ends with its reader
needs_reader = {1}


class BadSampleError(Exception):
    """A sample of the data set that cannot be used; says which, and the way out."""


class Ending(SystemExit):  # noqa: N818 (no error: the run may have been asked to stop)
    """The end of a run, whose reason has been printed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code)
        self.reason = without_passwords(reason)


def without_passwords(text: str) -> str:
    """Return the text with *** for the user and the password in each address, as of a server."""
    return re.sub(r"(?<=//)\S+@", "***@", text)


def warn(message: str) -> None:
    print(without_passwords(" ".join(message.split())), file=sys.stderr, flush=True)


def fail(code: int, message: str) -> NoReturn:
    warn(message)
    raise Ending(code, " ".join(message.split()))


class Output(FileIO):
    """Standard output or error; drops what its reader, terminal or disk does not take any more."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or len(data)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and self.fileno() in needs_reader:
                needs_reader.clear()
                raise Ending(0, "nobody reads the output any more") from None
            return len(data)


def open_output(stream: Any) -> Any:
    """Return standard output or error as a stream that fails no more; any other as it is."""
    if stream is None:  # it was closed when Python started
        return open(os.devnull, "w", encoding="utf-8")
    if os.name == "nt" or stream not in (sys.__stdout__, sys.__stderr__):
        return stream
    buffer = BufferedWriter(Output(stream.fileno(), "w", closefd=False))
    # its encoding may lack letters that a path has
    how = {"encoding": stream.encoding, "errors": "backslashreplace"}
    lines = stream.line_buffering or stream.write_through  # as with python -u
    return TextIOWrapper(buffer, **how, line_buffering=lines)
