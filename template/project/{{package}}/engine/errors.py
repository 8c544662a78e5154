"""What a run says, in one line, when it cannot go on, and the code it leaves behind."""

import sys
from typing import NoReturn

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
        self.reason = reason


def warn(message: str) -> None:
    """Print one line to stderr, whatever the message was made of."""
    print(" ".join(message.split()), file=sys.stderr, flush=True)


def fail(code: int, message: str) -> NoReturn:
    """Print one line to stderr and exit with `code`."""
    warn(message)
    raise Ending(code, " ".join(message.split()))
