"""Stopping when asked to, at the end of a step."""

import math
import signal
import time
from types import FrameType

from .errors import STOPPED, Ending
from .processes import any_process, is_main_process
from .runtime import started_by_hand
from .status import status

# SIGUSR1 is what Slurm sends before the time is over, if asked to
NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")


class StopRequest:
    """Remembers a signal, and that --time-limit is over; the run looks at it between two steps."""

    def __init__(self, deadline: float = math.inf) -> None:
        self.deadline = deadline  # of time.monotonic(), which no change of the clock moves
        self.reason = ""
        for name in NAMES:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        self.reason = signal.Signals(number).name
        if started_by_hand():  # a scheduler's or torchrun's may come twice
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one ends at once

    def asked(self) -> bool:
        """Return whether it is time to stop, on whichever process: they stop together."""
        if time.monotonic() > self.deadline:
            self.reason = self.reason or "--time-limit"
        return any_process(bool(self.reason))

    def leave_if_asked(self, step: int) -> None:
        """Exit with the code on which a scheduler may run the same command again."""
        if not self.asked():
            return
        status.fail_if_unsaved()
        if is_main_process():
            print(f"stopped and saved after step {step}; --resume auto continues", flush=True)
        raise Ending(STOPPED, self.reason or "another process was asked to stop")
