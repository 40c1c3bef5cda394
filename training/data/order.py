"""The triplet at a position of the endless stream of samples: a pure function of the seed.

Position p belongs to epoch p // num_triplets; an epoch is a permutation of all triplets, so it holds exactly what they
hold, such as their share of occluded targets. Nothing is remembered, so continuing at sample n is the same as starting
at n, and neither workers nor processes can change the order. Nothing is stored either: the permutation is computed
position by position.
"""

from collections.abc import Iterator
from math import isqrt

from decoupage.randomness import hash64

ORDER = "triplets"
"""In the identity of a run: a run that used its data in another order cannot be continued in this one."""
ROUNDS = 12


def triplet_at(seed: int, position: int, num_triplets: int) -> int:
    """The number of the triplet at a position: within an epoch each comes once.

    A Feistel network on pairs (a, b) of a grid that holds a few more cells than there are triplets, with addition
    modulo the sides (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002); a cell beyond the last triplet
    is mapped again until it is none.
    """
    epoch, cell = divmod(position, num_triplets)
    rows = max(1, isqrt(num_triplets))
    columns = -(-num_triplets // rows)
    while True:
        a, b = divmod(cell, columns)
        for step in range(0, ROUNDS, 2):
            a = (a + hash64(seed, "training.order", epoch, step, b)) % rows
            b = (b + hash64(seed, "training.order", epoch, step + 1, a)) % columns
        cell = a * columns + b
        if cell < num_triplets:
            return cell


def candidates(seed: int, position: int, num_triplets: int) -> Iterator[int]:
    """The triplet at a position, then those that replace it when it cannot be read: the next ones of its epoch."""
    first = position - position % num_triplets
    for step in range(num_triplets):
        yield triplet_at(seed, first + (position + step) % num_triplets, num_triplets)


def drawn_from(position: int, pairs_share: float) -> tuple[bool, int]:
    """Whether the sample at a position is a pair, and its position among the samples of its kind.

    Pairs are spread evenly, so that pairs and scenes each come in an order of their own, by `triplet_at`. In integers:
    a float would skip a sample where it is rounded.
    """
    share = round(pairs_share * 2**32)
    before, then = (number * share >> 32 for number in (position, position + 1))
    return (True, before) if then > before else (False, position - before)


def is_flipped(seed: int, epoch: int, key: str, layer: int) -> bool:
    """Whether a triplet is mirrored in an epoch: one time in two."""
    return bool(hash64(seed, "training.flip", epoch, key, layer) & 1)


def rank_batches(start: int, rank: int, world_size: int, batch_size: int) -> Iterator[list[int]]:
    """Positions of one process's samples, batch by batch without end: every world_size-th from start + rank.

    Step s of all processes together covers world_size * batch_size neighbouring positions: the batch that a single
    process of that batch size would have seen.
    """
    first = start + rank
    while True:
        yield [first + i * world_size for i in range(batch_size)]
        first += batch_size * world_size
