"""Consistent hashing: draws assets in such a way that adding or removing one asset changes few draws.

Every asset owns `virtual_nodes` points on a ring of 2**64; a draw meets assets clockwise of its own point. For a draw
that takes the first, removing an asset changes only what took it, and adding one takes over only the arcs before its
points.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from decoupage.randomness import hash64


@dataclass(frozen=True)
class Ring:
    """A ring: its points in ascending order, and for each the position of the asset that owns it.

    Attributes:
        owners: positions in the ids that the ring was built of.
        groups: by position of an asset, the number of its group; assets of a group are refused together.
    """

    points: NDArray[np.uint64]
    owners: NDArray[np.int32]
    groups: NDArray[np.int32]

    @classmethod
    def of(cls, ids: Iterable[str], groups: NDArray[np.int32], virtual_nodes: int) -> "Ring":
        """Build a ring of different ids; which asset a point meets does not depend on their order."""
        seeds = np.fromiter((hash64("ring", asset) for asset in ids), np.uint64, len(groups))
        points = _splitmix64(seeds[:, None], np.arange(virtual_nodes, dtype=np.uint64)[None]).ravel()
        owners = np.repeat(np.arange(len(groups), dtype=np.int32), virtual_nodes)
        order = np.lexsort((seeds[owners], points))
        return cls(points[order], owners[order], groups)

    @cached_property
    def num_assets(self) -> int:
        """Number of different assets on the ring."""
        return len(np.unique(self.owners))

    def among(self, members: NDArray[np.bool_]) -> "Ring":
        """The ring of the assets at the positions where `members` is true."""
        kept = members[self.owners]
        return Ring(self.points[kept], self.owners[kept], self.groups)

    def clockwise(self, point: int, refused: Container[int] = ()) -> Iterator[int]:
        """Positions of the assets whose group is not refused, in the order a point in [0, 2**64) meets them.

        Each comes once.
        """
        start = int(np.searchsorted(self.points, np.uint64(point)))
        met: set[int] = set()
        for step in range(len(self.owners)):
            owner = int(self.owners[(start + step) % len(self.owners)])
            if owner not in met and int(self.groups[owner]) not in refused:
                met.add(owner)
                yield owner

    def draw(self, point: int, refused: Container[int] = ()) -> int | None:
        """The first asset clockwise of a point whose group is not refused; None when all are."""
        return next(self.clockwise(point, refused), None)


def _splitmix64(seeds: NDArray[np.uint64], steps: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64 (Steele, Lea, Flood 2014) at `seed + (step + 1) * golden`: hashes many points at once."""
    with np.errstate(over="ignore"):
        z = seeds + (steps + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
