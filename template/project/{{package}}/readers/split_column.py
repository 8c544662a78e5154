"""Sets that a column of a table names."""

from collections.abc import Callable, Sequence

from ..engine.errors import DATA, fail
from .sets import set_called
from .tables import shown


def said_sets(
    column: str, cells: Sequence[str | None], place: Callable[[int], str]
) -> dict[str, list[int]]:
    """Return the numbers of each set's cells; `place` says where one stands in a file."""
    called = {cell: set_called(cell or "") for cell in {*cells}}
    sets: dict[str, list[int]] = {}
    for number, cell in enumerate(cells):
        name = called[cell]
        if name is None:
            reason = f"{shown(cell)} names no set; write train, val or test"
            fail(DATA, f"{place(number)}, column {column}: {reason}")
        sets.setdefault(name, []).append(number)
    if "train" not in sets:
        fail(DATA, f"--split-column {column}: no row says train")
    return sets
