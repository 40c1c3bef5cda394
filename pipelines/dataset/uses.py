"""How evenly a dataset shows the assets of its library."""

import io
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.dataset.index import Asset
from pipelines.stages.store import Store

_ROLES = {"foregrounds": "foreground", "backgrounds": "background"}


@dataclass(frozen=True)
class Uses:
    """How often the assets of one role and source are shown.

    Attributes:
        num_assets: those for training in the library; where it is not beside the shards, those shown.
        never_share: share of them that no scene shows.
        min, median, max: scenes that show one.
        top_tenth_share: share of all uses that the most shown tenth of the assets has.
        histogram: range of numbers of scenes (`0`, `1`, `2`, `3-4`, `5-8`, ...) -> assets shown so often.
    """

    num_assets: int
    never_share: float
    min: int
    median: float
    max: int
    top_tenth_share: float
    histogram: dict[str, int]

    @property
    def max_to_median(self) -> float:
        """How much more often the most shown asset is shown than the usual one; a median below 1 counts as 1."""
        return self.max / max(self.median, 1.0)


def count_library(store: Store) -> dict[str, int]:
    """`<role> <source>` -> assets for training in the library; empty where there is none in the store."""
    counts: Counter[str] = Counter()
    for name, role in _ROLES.items():
        path = f"library/{name}.parquet"
        if store.exists(path):
            table = pq.ParquetFile(io.BytesIO(store.read(path))).read(columns=["source", "split"])
            sources = zip(table["source"].to_pylist(), table["split"].to_pylist(), strict=True)
            counts.update(f"{role} {source}" for source, split in sources if split == "train")
    return dict(sorted(counts.items()))


def measure_uses(assets: Mapping[Asset, int], library: Mapping[str, int]) -> dict[str, Uses]:
    """`<role> <source>` -> how evenly its assets are shown.

    Args:
        assets: asset -> number of scenes that show it.
        library: the result of `count_library`.
    """
    shown: defaultdict[str, list[int]] = defaultdict(list)
    for asset, num_scenes in assets.items():
        shown[f"{asset.role} {asset.source}"].append(num_scenes)
    return {name: _uses(counts, library.get(name, 0)) for name, counts in sorted(shown.items())}


def _uses(shown: list[int], num_in_library: int) -> Uses:
    counts = np.zeros(max(len(shown), num_in_library), np.int64)
    counts[: len(shown)] = sorted(shown, reverse=True)
    top = counts[: max(1, len(counts) // 10)]
    return Uses(
        num_assets=len(counts),
        never_share=round(float((counts == 0).mean()), 4),
        min=int(counts.min()),
        median=float(np.median(counts)),
        max=int(counts.max()),
        top_tenth_share=round(float(top.sum() / counts.sum()), 4),
        histogram=_histogram(counts),
    )


def _histogram(counts: NDArray[np.int64]) -> dict[str, int]:
    """Ranges from one power of two to the next, up to the largest count."""
    # 0 is in class 0, 1 in 1, 2 in 2, 3 and 4 in 3, 5 to 8 in 4, ...
    classes = [0 if count == 0 else 1 + int(count - 1).bit_length() for count in counts]
    found = np.bincount(classes)
    names = [str(top) if top < 3 else f"{top // 2 + 1}-{top}" for top in (0, *(2**i for i in range(len(found))))]
    return {name: int(number) for name, number in zip(names, found, strict=False)}
