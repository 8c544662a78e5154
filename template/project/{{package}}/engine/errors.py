"""What a run says, in one line, when it cannot go on, and the code it leaves behind."""

import sys
from typing import NoReturn

USAGE = 2  # the command line is wrong
DATA = 65  # the data cannot be used
DEVICE = 69  # the device is missing or cannot do what was asked
DIVERGED = 70  # the loss or a weight is no longer finite
OUTPUT = 73  # the output folder cannot be used
NOT_WRITTEN = 74  # a checkpoint could not be written
STOPPED = 75  # stopped and saved: run again to resume
MISMATCH = 78  # the checkpoint or configuration does not fit


class BadSampleError(Exception):
    """A sample of the data set that cannot be used; says which, and the way out."""


def fail(code: int, message: str) -> NoReturn:
    """Print one line to stderr and exit with `code`."""
    print(" ".join(message.split()), file=sys.stderr, flush=True)
    raise SystemExit(code)
