"""Stopping when asked to, at the end of a step."""

import signal
import sys
from types import FrameType

from .errors import STOPPED
from .processes import any_process, is_main_process, world_size


class StopRequest:
    """Remembers Ctrl-C and SIGTERM; the run looks at it between two steps."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        if world_size() == 1:  # torchrun passes a Ctrl-C on to processes that have it already
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one ends at once

    def asked(self) -> bool:
        """Return whether a signal came, on whichever process: they stop together."""
        return any_process(self.received)

    def leave_if_asked(self, step: int) -> None:
        """Exit with the code on which a scheduler may run the same command again."""
        if self.asked():
            if is_main_process():
                print(f"stopped and saved after step {step}; --resume auto continues")
            sys.exit(STOPPED)
