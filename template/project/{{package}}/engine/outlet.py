"""A logger that may be out of reach: what it cannot take waits, and the run goes on."""

import time
from collections import Counter, deque
from collections.abc import Callable
from textwrap import shorten
from typing import Any

from .errors import warn

PAUSE = 30.0  # seconds until a logger that failed is tried again, at least
SHARE = 100  # or this many times as long as the attempt took: 1 % of the run's time at most
# calls that wait at most; then the oldest go
ROOM = {"add_scalars": 10_000, "add_image": 10, "add_text": 100}
NOUNS = {"add_scalars": "value", "add_image": "image", "add_text": "text"}
REFUSED = (TypeError, ValueError, LookupError, AssertionError)  # waiting would not mend these

Call = tuple[str, tuple[Any, ...]]


class Outlet:
    """Makes the calls of one logger, in order; says when an outage begins and when it is over."""

    def __init__(self, name: str, open_logger: Callable[[], Any], pause: float = PAUSE) -> None:
        self.name = name
        self.missing: Counter[str] = Counter()  # what the logger will never get
        self.reason = ""  # of the outage, as long as it lasts
        self._open, self._pause = open_logger, pause
        self._logger: Any = None
        self._waiting: deque[Call] = deque()
        self._retry_at = 0.0
        self._arrived: Counter[str] = Counter()
        self._told: set[str] = set()

    def open(self) -> None:
        """Open the logger; raise what it raises."""
        self._logger = self._open()

    def send(self, method: str, *values: Any) -> None:
        """Make the call now or, after those before it, once the logger can be reached."""
        self._waiting.append((method, values))
        self._make_room(method)
        if time.monotonic() >= self._retry_at:
            self.deliver()

    def deliver(self) -> None:
        """Make the calls that wait, up to the first that fails."""
        start = time.monotonic()
        try:
            if self._logger is None:
                self.open()
            while self._waiting:
                self._make(self._waiting[0])
                self._waiting.popleft()
        except Exception as error:  # a log is not worth a run
            if not self.reason:
                warn(f"{self.name}: {explain(error)}; values wait in memory")
            self.reason = explain(error)
            now = time.monotonic()
            self._retry_at = now + (max(self._pause, SHARE * (now - start)) if self._pause else 0)
            return
        if self.reason:
            warn(f"{self.name}: back, {amount(self._arrived) or 'nothing'} written")
        self.reason, self._retry_at = "", 0.0
        self._arrived.clear()

    def close(self) -> None:
        """Try once more, then count what never arrived."""
        self.deliver()
        try:
            if not self.reason:
                self._logger.close()
        except Exception as error:  # as above
            self.reason = explain(error)
        for call in self._waiting:
            self.missing.update(size(call))
        self.missing["value"] += len(getattr(self._logger, "unsent", ()))

    def _make(self, call: Call) -> None:
        method, values = call
        try:
            getattr(self._logger, method)(*values)
            self._arrived.update(size(call))
        except OSError:
            raise
        except REFUSED as error:  # in vain the next time too, and others stand behind it
            self.missing.update(size(call))
            self._tell_once(f"{method} was refused", explain(error))

    def _make_room(self, method: str) -> None:
        if len(self._waiting) <= ROOM[method]:
            return
        same = [i for i, (other, _) in enumerate(self._waiting) if other == method]
        if len(same) > ROOM[method]:
            self.missing.update(size(self._waiting[same[0]]))
            del self._waiting[same[0]]
            self._tell_once(f"too many {NOUNS[method]}s wait", "the oldest are left out from here")

    def _tell_once(self, subject: str, message: str) -> None:
        if subject not in self._told:
            self._told.add(subject)
            warn(f"{self.name}: {subject}: {message}")


def size(call: Call) -> dict[str, int]:
    """Return how many of what a call writes."""
    method, values = call
    return {NOUNS[method]: len(values[0]) if method == "add_scalars" else 1}


def amount(sizes: Counter[str]) -> str:
    """Return "12 values, 1 image"."""
    counts = [f"{n:,} {noun}{'s' if n > 1 else ''}" for noun, n in sizes.items() if n]
    return ", ".join(counts)


def explain(error: Exception) -> str:
    """Return what went wrong as a part of one line."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return shorten(reason or str(error) or type(error).__name__, 200)
