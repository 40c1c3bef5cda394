"""Near pairs of perceptual hashes (every hash against every other, in blocks), and the duplicates among records."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.library.records import Record

_ROWS = 16
_COLUMNS = 16_384
"""Size of a block, whose buffers of 2.3 MB stay in a core's cache; blocks of 256 rows took twice as long."""
_BLOCK = 1024


def hash_array(hex_digits: Sequence[str]) -> NDArray[np.uint64]:
    """Hashes of 16 hex digits each as an array of 64-bit numbers, [N]."""
    return np.array([int(digits, 16) for digits in hex_digits], np.uint64)


def near_pairs(
    rows: NDArray[np.uint64], columns: NDArray[np.uint64], distance_bits: int
) -> Iterator[tuple[int, int, int]]:
    """(row, column, bits) of every pair of hashes that differ in at most `distance_bits` bits, by blocks of rows.

    The time is quadratic, about 0.5 ns a pair on one core; the memory is constant.
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


def duplicates(records: Sequence[Record], distance_bits: int) -> dict[str, str]:
    """Which records repeat another: `{id: id of the one kept}`; the earliest in the given order is kept.

    Args:
        distance_bits: two pictures whose 64-bit perceptual hashes differ in at most so many bits count as one.
    """
    hashes = hash_array([record.perceptual_hash for record in records])
    repeats: dict[str, str] = {}
    first_with: dict[str, int] = {}
    for i, record in enumerate(records):
        first = first_with.setdefault(record.sha256, i)
        if first != i:
            repeats[record.id] = records[first].id
    for start in range(0, len(records), _BLOCK):
        stop = start + _BLOCK
        # Pairs come in ascending order of both, so it is already decided whether the earlier record is kept.
        for row, column, _ in near_pairs(hashes[start:stop], hashes[:stop], distance_bits):
            later, earlier = records[start + row], records[column]
            # A duplicate is not kept, so it has no duplicates of its own.
            if column < start + row and later.id not in repeats and earlier.id not in repeats:
                repeats[later.id] = earlier.id
    return repeats
