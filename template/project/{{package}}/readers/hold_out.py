"""Samples kept out of training, chosen by what they are."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from ..engine.errors import DATA, fail
from .sets import HELD_OUT

T = TypeVar("T")


def hold_out(
    sets: dict[str, list[T]], identity: Callable[[T], str], split_seed: int, place: str = ""
) -> dict[str, list[T]]:
    """Return the sets, those that were missing held out of the samples to train on.

    What set a sample is in follows from its identity alone, so that no other sample moves it; those
    with the same identity stay together. With a place to name, a set may not end empty.
    """
    held_out: dict[str, list[T]] = {name: [] for name in ("val", "test") if name not in sets}
    train: list[T] = []
    for sample in sets["train"]:
        text = f"{split_seed} {identity(sample)}".encode(errors="surrogateescape")
        number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") / 2**64
        drawn = "val" if number < HELD_OUT else "test" if number < 2 * HELD_OUT else "train"
        held_out.get(drawn, train).append(sample)
    found = {**sets, "train": train, **held_out}
    for name in found if place else ():
        if not found[name]:
            fail(DATA, f"{place}: too few, so that {name} is empty; another --split-seed may help")
    return found
