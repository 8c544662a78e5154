"""A number for each row of a table, by which it is known again on any machine.

Polars has a hash of its own, which another version of it may change.
"""

import numpy as np
import polars as pl

from .sets import HELD_OUT
from .tables import as_numbers

AT_ONCE = 2**15  # texts or numbers, which then fit into the processor's own memory


def mixed(numbers: np.ndarray) -> np.ndarray:
    """(N,) uint64 -> (N,) uint64, in which a bit that differs becomes 32 (SplitMix64)."""
    found = numbers ^ (numbers >> np.uint64(30))
    found *= np.uint64(0xBF58476D1CE4E5B9)
    found ^= found >> np.uint64(27)
    found *= np.uint64(0x94D049BB133111EB)
    found ^= found >> np.uint64(31)
    return found


def hash_texts(texts: pl.Series) -> np.ndarray:
    """Add up a random number for each byte and its place."""
    found = [np.empty(0, np.uint64)]
    for first in range(0, len(texts), AT_ONCE):
        part = texts.slice(first, AT_ONCE)
        ends = part.str.len_bytes().cum_sum().to_numpy().astype(np.int64)
        codes = np.frombuffer(part.str.join().item().encode(), np.uint8).astype(np.uint64)
        lengths = np.diff(ends, prepend=0)
        places = np.arange(len(codes)) - np.repeat(ends - lengths, lengths)
        sums = np.zeros(len(codes) + 1, np.uint64)
        mixed(codes + 1 + 256 * places.astype(np.uint64)).cumsum(out=sums[1:])
        found.append(mixed(sums[ends] - sums[ends - lengths] + lengths.astype(np.uint64)))
    return np.concatenate(found)


def hash_numbers(values: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return 0 where one is missing; `column` is the hash of the column's name."""
    found = np.empty(len(values), np.uint64)
    for first in range(0, len(values), AT_ONCE):
        numbers = values[first : first + AT_ONCE].astype(np.float64) + 0.0  # -0.0 is 0.0
        part = mixed(numbers.view(np.uint64) ^ column)
        part[np.isnan(numbers)] = 0
        found[first : first + AT_ONCE] = part
    return found


def hash_cells(cells: pl.Series, column: np.ndarray) -> np.ndarray:
    """Return the same for cells that mean the same, such as 1.50 and 1.5; 0 for a missing one.

    The sum of a row's is that of the row, in any order of its columns.
    """
    values = as_numbers(cells)
    is_text = values.is_nan()
    found = hash_numbers(values.to_numpy(), column)
    found[is_text.fill_null(False).to_numpy()] = mixed(hash_texts(cells.filter(is_text)) ^ column)
    return found


def draw_sets(hashes: np.ndarray, split_seed: int, names: list[str]) -> dict[str, np.ndarray]:
    """Return the rows to train on and those of each of these sets, in their order.

    As in `hold_out`, what set a row is in follows from its hash alone.
    """
    seed = mixed(np.array([split_seed], np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    drawn = mixed(hashes ^ seed) / 2.0**64
    sets = {"val": drawn < HELD_OUT, "test": (drawn >= HELD_OUT) & (drawn < 2 * HELD_OUT)}
    held_out = {name: np.flatnonzero(sets[name]) for name in names}
    rest = np.delete(np.arange(len(hashes)), np.concatenate([*held_out.values(), []]).astype(int))
    return {"train": rest, **held_out}
