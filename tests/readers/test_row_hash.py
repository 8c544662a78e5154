import math
import struct

import numpy as np
import polars as pl
import pytest
from project.readers import row_hash
from project.readers.row_hash import draw_sets, hash_cells, hash_numbers, hash_texts
from project.readers.sets import HELD_OUT

ALL = 2**64


def mix(number: int) -> int:
    """SplitMix64, with the numbers of Python."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % ALL
    number = (number ^ number >> 27) * 0x94D049BB133111EB % ALL
    return number ^ number >> 31


def of_text(text: str) -> int:
    codes = text.encode()
    return mix((sum(mix(b + 1 + 256 * i) for i, b in enumerate(codes)) + len(codes)) % ALL)


COLUMN = hash_texts(pl.Series(["x"]))


def test_texts_have_the_hashes_of_a_plain_loop(monkeypatch):
    monkeypatch.setattr(row_hash, "AT_ONCE", 3)
    texts = ["a", "ab", "", "ba", "\u56fe", "a" * 3000, "\n"]
    found = hash_texts(pl.Series(texts)).tolist()
    assert found == [of_text(text) for text in texts] and len({*found}) == len(texts)


def test_numbers_have_the_hashes_of_a_plain_loop(monkeypatch):
    monkeypatch.setattr(row_hash, "AT_ONCE", 2)
    values = [1.5, -3.0, 0.0, 1e300]
    bits = [struct.unpack("<Q", struct.pack("<d", value))[0] for value in values]
    expected = [mix(number ^ of_text("x")) for number in bits]
    assert hash_numbers(np.array([*values, math.nan]), COLUMN).tolist() == [*expected, 0]
    small = np.array(values[:3], np.float32)
    assert hash_numbers(small, COLUMN).tolist() == expected[:3]
    assert hash_numbers(np.array([-0.0]), COLUMN).tolist() == expected[2:3]


def test_cells_that_mean_the_same_have_the_same_hash():
    cells = ["1.5", "1.50", " 15e-1", "NA", "", None, "a", "b"]
    found = hash_cells(pl.Series(cells), COLUMN).tolist()
    assert found[0] == found[1] == found[2] == hash_numbers(np.array([1.5]), COLUMN)[0]
    assert found[3:6] == [0, 0, 0] and len({*found}) == 4
    assert hash_cells(pl.Series(cells[:1]), hash_texts(pl.Series(["y"])))[0] != found[0]


@pytest.mark.parametrize("names", [["val", "test"], ["val"], ["test"], []])
def test_a_set_depends_on_the_hash_and_the_seed_alone(names):
    hashes = hash_numbers(np.arange(10_000.0), COLUMN)
    sets = draw_sets(hashes, 0, names)
    assert [*sets] == ["train", *names]
    assert sorted(np.concatenate([*sets.values()]).tolist()) == [*range(10_000)]
    for name in names:
        assert len(sets[name]) == pytest.approx(10_000 * HELD_OUT, rel=0.1)
        again = draw_sets(hashes[::-1], 0, ["val", "test"])[name]
        assert sorted(9_999 - again) == sets[name].tolist()
        assert {*draw_sets(hashes, 1, names)[name]} != {*sets[name]}


def test_hashes_differ_in_half_of_their_bits():
    near = hash_numbers(np.arange(1000.0), COLUMN) ^ hash_numbers(np.arange(1000.0) + 1, COLUMN)
    assert np.bitwise_count(near).mean() == pytest.approx(32, abs=0.5)
