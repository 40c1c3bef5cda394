"""The scene and the target at a position of the endless stream of samples: pure functions of the seed.

Position p belongs to epoch p // num_scenes; an epoch is a permutation of all scenes. Nothing is remembered, so going
on at sample n is starting at n, and neither workers nor processes can change the order.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from decoupage.randomness import generator, hash64


@lru_cache(maxsize=2)  # Around the end of an epoch, batches reach into the next one.
def epoch_order(seed: int, epoch: int, num_scenes: int) -> NDArray[np.int64]:
    """Numbers of all scenes in the order of one epoch, [num_scenes], each once."""
    order = generator(seed, "training.order", epoch).permutation(num_scenes)
    order.setflags(write=False)
    return order


def candidates(seed: int, position: int, num_scenes: int) -> Iterator[int]:
    """The scene at a position, then those that replace it when it cannot be read: the next ones of its epoch."""
    epoch, slot = divmod(position, num_scenes)
    order = epoch_order(seed, epoch, num_scenes)
    for step in range(num_scenes):
        yield int(order[(slot + step) % num_scenes])


def target_layer(seed: int, epoch: int, key: str, num_layers: int) -> int:
    """Index of a scene's target layer: drawn for the first epoch, then in turn, so that n epochs show all n layers."""
    return (hash64(seed, "training.target", key) + epoch) % num_layers


def is_flipped(seed: int, epoch: int, key: str) -> bool:
    """Whether a scene is mirrored in an epoch: one time in two."""
    return bool(hash64(seed, "training.flip", epoch, key) & 1)


def rank_batches(start: int, rank: int, world_size: int, batch_size: int) -> Iterator[list[int]]:
    """Positions of one process's samples, batch by batch without end: every world_size-th from start + rank.

    Step s of all processes together covers world_size * batch_size neighbouring positions: the batch that a single
    process of that batch size would have seen.
    """
    first = start + rank
    while True:
        yield [first + i * world_size for i in range(batch_size)]
        first += batch_size * world_size
