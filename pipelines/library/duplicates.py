"""Exact and near duplicates by hash: which records repeat an earlier one."""

from collections.abc import Sequence

from pipelines.library.near import hash_array, near_pairs
from pipelines.library.records import Record

_BLOCK = 1024


def duplicates(records: Sequence[Record], distance_bits: int) -> dict[str, str]:
    """Which records repeat another: `{id: id of the one kept}`; the earliest in the given order is kept.

    Args:
        distance_bits: two perceptual hashes of 64 bits that differ in at most so many are one picture.
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
        # Pairs come in ascending order of both, so what is said of the earlier record is final.
        for row, column, _ in near_pairs(hashes[start:stop], hashes[:stop], distance_bits):
            later, earlier = records[start + row], records[column]
            # A repeat is not kept, so it cannot make others its repeats.
            if column < start + row and later.id not in repeats and earlier.id not in repeats:
                repeats[later.id] = earlier.id
    return repeats
