"""Consistent hashing: draws assets in such a way that adding or removing one asset changes few draws.

Every asset owns `virtual_nodes` points on a ring of 2**64; a draw takes the first point clockwise of its own.
Removing an asset changes only the draws that took it; adding one takes over only the arcs before its points.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decoupage.randomness import hash64


@dataclass(frozen=True)
class Ring:
    """A ring: its points in ascending order, and the index of the asset that owns each."""

    ids: tuple[str, ...]
    points: NDArray[np.uint64]
    owners: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Sequence[str], virtual_nodes: int) -> "Ring":
        """Build a ring; the order of the ids does not matter."""
        ordered = tuple(sorted(ids))
        seeds = np.array([hash64("ring", asset) for asset in ordered], np.uint64)
        points = _splitmix64(seeds[:, None], np.arange(virtual_nodes, dtype=np.uint64)[None]).ravel()
        owners = np.repeat(np.arange(len(ordered)), virtual_nodes)
        order = np.lexsort((owners, points))
        return cls(ordered, points[order], owners[order])

    def draw(self, point: int, refused: Collection[str] = ()) -> str | None:
        """The id of the first asset clockwise of a point in [0, 2**64) that is not refused; None when all are."""
        start = int(np.searchsorted(self.points, np.uint64(point)))
        for step in range(len(self.owners)):
            asset = self.ids[self.owners[(start + step) % len(self.owners)]]
            if asset not in refused:
                return asset
        return None


def _splitmix64(seeds: NDArray[np.uint64], steps: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64 (Steele, Lea, Flood 2014) at `seed + (step + 1) * golden`: hashes many points at once."""
    with np.errstate(over="ignore"):
        z = seeds + (steps + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
