"""Means with intervals that hold where images share a photograph or an origin, and what such an interval decides.

Images of one background photograph are not independent evidence, nor are images of one foreground's origin, and the two
cross. So the variance is clustered in two ways (Cameron, Gelbach & Miller 2011, Robust inference with multiway
clustering): that of photographs, plus that of origins, less that of what shares both. Each of the three is a cluster
jackknife, the sum is never less than the larger of the first two, and the interval is Student's with one degree of
freedom less than the fewer clusters (MacKinnon, Nielsen & Webb 2024, Jackknife inference with two-way clustering, arXiv
2406.08880: "CV3, max-se").

Why not a bootstrap: a percentile interval is too short where clusters are few, and the two-way bootstrap with weights
that are products (Owen 2007; Owen & Eckles 2012) counts three times the variance that no cluster causes, so it never
becomes the interval of independent images. The jackknife holds with few clusters of very different sizes, becomes
Student's interval of independent images where every image is its own cluster, and draws nothing: the same scores have
the same interval. `docs/evaluation.md` has the simulation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

COVERAGE_PERCENT = 95.0
MIN_CLUSTERS = 10
"""Photographs and origins that a verdict needs; with fewer of either, an interval is shown but decides nothing."""
Verdict = Literal["better", "worse", "even", "undecided"]
Seen = Verdict | Literal["unseen"]
"""A verdict, or a difference that is there and too small to see (`evaluation.visible`)."""
Overall = Seen | Literal["mixed"]


@dataclass(frozen=True)
class Clusters:
    """What images of a list have in common.

    Attributes:
        photographs: [images] name of the photograph behind each.
        origins: [images] name of what each target was taken from: a photograph, or a prompt with its seed.
    """

    photographs: Sequence[str]
    origins: Sequence[str]

    @cached_property
    def ways(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[images] int each: number of the photograph, of the origin, and of the pair of both."""
        photographs, origins = (_numbered(np.asarray(names)) for names in (self.photographs, self.origins))
        return photographs, origins, _numbered(photographs * (origins.max(initial=0) + 1) + origins)

    def where(self, chosen: np.ndarray) -> "Clusters":
        """Those of some images; `chosen` is [images] bool."""
        return Clusters(np.asarray(self.photographs)[chosen].tolist(), np.asarray(self.origins)[chosen].tolist())

    @property
    def counts(self) -> dict[str, int]:
        """`num_photographs` and `num_origins`, for `report.json`."""
        return {"num_photographs": len(set(self.photographs)), "num_origins": len(set(self.origins))}


@dataclass(frozen=True)
class Interval:
    """A mean over images, and its 95 % interval.

    Attributes:
        low, high: None with a single photograph or origin, from which no spread can be known, and for figures that have
            no interval.
        num_images: that could be measured, for a difference: with both methods.
        num_photographs, num_origins: clusters of these images.
    """

    mean: float
    low: float | None
    high: float | None
    num_images: int
    num_photographs: int
    num_origins: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Interval":
        """An interval of `report.json`."""
        return cls(**values)

    def to_dict(self) -> dict[str, float | int | None]:
        """For `report.json`."""
        return asdict(self)

    @property
    def why_undecided(self) -> str:
        """Why no verdict can rest on it, such as `too few photographs: 3`; empty where one can."""
        counts = {"photographs": self.num_photographs, "origins": self.num_origins}
        few = [f"{name}: {number}" for name, number in counts.items() if number < MIN_CLUSTERS]
        if few:
            return f"too few {', '.join(few)}"
        return "no interval" if self.low is None else ""

    def verdict(self, higher_is_better: bool = True) -> Verdict:
        """The verdict on the first method: `even` where 0 is inside; `undecided`: see `why_undecided`."""
        if self.why_undecided or self.low is None or self.high is None:
            return "undecided"
        if self.low <= 0 <= self.high:
            return "even"
        return "better" if (self.low > 0) == higher_is_better else "worse"

    @property
    def counted(self) -> str:
        """N and the clusters in words: `187 images, 3 photographs, 18 origins`."""
        counts = {"image": self.num_images, "photograph": self.num_photographs, "origin": self.num_origins}
        return ", ".join(f"{number} {name}{'s' * (number != 1)}" for name, number in counts.items())


def overall(verdicts: Sequence[Seen]) -> Overall:
    """What several metrics say together; the first one is the one that must be better.

    `better` only where it is and none is worse; `mixed` where one is better and another one worse.
    """
    if "worse" in verdicts:
        return "mixed" if "better" in verdicts else "worse"
    return verdicts[0]


LeftOut = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A figure without each photograph, each origin, each pair of both: [photographs], [origins], [pairs]."""


def interval(values: np.ndarray, clusters: Clusters) -> Interval | None:
    """The mean of one metric; of a difference, give the differences image by image.

    Args:
        values: one for each image; NaN = not measured, and dropped.
        clusters: of all these images.

    Returns:
        None where nothing was measured.
    """
    column = np.asarray(values, np.float64)
    measured = ~np.isnan(column)
    if not measured.any():
        return None
    kept, ways = column[measured], [way[measured] for way in clusters.ways]
    mean = float(kept.mean())
    left_out = [_means_without(kept - mean, way) + mean for way in ways]
    return jackknife(mean, (left_out[0], left_out[1], left_out[2]), len(kept))


def intervals(columns: Sequence[np.ndarray], clusters: Clusters) -> list[Interval | None]:
    """`interval` of many columns over the same images."""
    return [interval(column, clusters) for column in columns]


def difference(first: np.ndarray, second: np.ndarray, clusters: Clusters) -> Interval | None:
    """Mean of first minus second over the images where both were measured; arguments as `interval`."""
    return interval(first - second, clusters)


def jackknife(value: float, left_out: LeftOut, num_images: int) -> Interval:
    """The interval of any figure of a list, from what it is without each of its clusters."""
    num_photographs, num_origins = len(left_out[0]), len(left_out[1])
    low = high = None
    if min(num_photographs, num_origins) > 1:
        of_photographs, of_origins, of_pairs = (_variance(value, without) for without in left_out)
        variance = max(of_photographs + of_origins - of_pairs, of_photographs, of_origins)
        tail = (1 + COVERAGE_PERCENT / 100) / 2
        reach = float(stdtrit(min(num_photographs, num_origins) - 1, tail) * np.sqrt(variance))
        low, high = value - reach, value + reach
    return Interval(value, low, high, num_images, num_photographs, num_origins)


def _variance(value: float, without: np.ndarray) -> float:
    """Of the cluster jackknife about the figure itself ("CV3")."""
    return float((len(without) - 1) / len(without) * ((without - value) ** 2).sum())


def _means_without(column: np.ndarray, way: np.ndarray) -> np.ndarray:
    """[clusters that are there]: the mean of a column that sums to 0, without each cluster; NaN where none is left."""
    counts = np.bincount(way)
    there = counts > 0
    left = (len(column) - counts[there]).astype(np.float64)
    sums = np.bincount(way, column)[there]
    return np.divide(-sums, left, out=np.full(len(left), np.nan), where=left > 0)


def _numbered(names: np.ndarray) -> np.ndarray:
    """[images] int: which of the different names each is."""
    return np.unique(names, return_inverse=True)[1]
