"""Near pairs of hashes are those that counting bits one by one finds, in order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.library import duplicates
from pipelines.library.duplicates import hash_array, near_pairs

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=12)


@given(HASHES, HASHES, st.integers(0, 64))
def test_every_near_pair_is_found(rows, columns, bits):
    slow = [
        (i, j, (a ^ b).bit_count())
        for i, a in enumerate(rows)
        for j, b in enumerate(columns)
        if (a ^ b).bit_count() <= bits
    ]
    found = list(near_pairs(np.array(rows, np.uint64), np.array(columns, np.uint64), bits))
    assert found == slow


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(0, 2**64, number, np.uint64) for number in (37, 53))
    whole = sorted(near_pairs(rows, columns, 26))
    monkeypatch.setattr(duplicates, "_ROWS", 5)
    monkeypatch.setattr(duplicates, "_COLUMNS", 7)
    assert whole and sorted(near_pairs(rows, columns, 26)) == whole


def test_hashes_are_read_as_they_are_recorded():
    assert list(hash_array(["ffffffffffffffff", "0000000000000001"])) == [2**64 - 1, 1]
