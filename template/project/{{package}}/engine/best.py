"""The best score so far, and how long ago it was."""

import math
from typing import Any

from .errors import USAGE, fail


class Best:
    """Remembers the best score, and how many test passes ago it was."""

    def __init__(self, name: str, *, higher: bool, patience: int) -> None:
        self.name = name
        self.sign = 1 if higher else -1
        self.patience = patience
        self.score: float | None = None
        self.passes_since = 0

    def update(self, scores: dict[str, float]) -> bool:
        """Return whether these scores are the best so far."""
        if self.name not in scores:
            there = ", ".join(scores)
            fail(USAGE, f"Best({self.name!r}) in train.py: the test pass gives {there}; name one")
        score = scores[self.name]
        better = self.score is None or self.sign * score > self.sign * self.score
        better = better and not math.isnan(score)  # which nothing would ever beat
        if better:
            self.score = score
        self.passes_since = 0 if better else self.passes_since + 1
        return better

    def stale(self) -> bool:
        """Return whether --patience is over; 0 waits for ever."""
        return 0 < self.patience <= self.passes_since

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score, "passes_since": self.passes_since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.score, self.passes_since = state["score"], state["passes_since"]
