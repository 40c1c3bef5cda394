"""Metrics of a whole list: features of its true backgrounds and of each method's, and the distances between them.

A picture is kept as its features only, in a temporary file without a name: 8 KB for each picture, method and ending,
and memory that does not grow. The distances are in `fid.py` and `kid.py`.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluation.cases import Case
from evaluation.method import Layers
from evaluation.metrics.catalogue import LIST_METRICS, Part
from evaluation.metrics.fid import frechet_distance, moments
from evaluation.metrics.kid import kid
from evaluation.metrics.score import paste_back
from evaluation.statistics import Clusters, Interval, LeftOut, jackknife

if TYPE_CHECKING:
    from evaluation.metrics.inception import Inception

MIN_IMAGES = 2
_GRAY = np.full((299, 299, 3), 128, np.uint8)
"""Replaces a missing output."""
_ENDINGS = ("", "_pasted")
Key = tuple[Part, str]


@dataclass(frozen=True)
class ListScore:
    """A metric's value for a list.

    Attributes:
        value: the value.
        left_out: the value without each cluster of the list, for metrics that have an interval.
        num_images: number of images.
        clusters: the clusters of these images.
    """

    value: float
    left_out: LeftOut | None
    num_images: int
    clusters: Clusters

    def minus(self, other: "ListScore") -> "ListScore":
        """The difference, cluster by cluster; both are of one list."""
        left_out: LeftOut | None = None
        if self.left_out is not None and other.left_out is not None:
            photographs, origins, pairs = (a - b for a, b in zip(self.left_out, other.left_out, strict=True))
            left_out = (photographs, origins, pairs)
        return ListScore(self.value - other.value, left_out, self.num_images, self.clusters)

    @property
    def interval(self) -> Interval:
        """The value with its interval, which has no ends where nothing was left out."""
        if self.left_out is not None:
            return jackknife(self.value, self.left_out, self.num_images)
        return Interval(self.value, None, None, self.num_images, **self.clusters.counts)


class FeatureFile:
    """Rows of float32, appended to a file and read back as one array on the disk."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="decoupage-features-")  # noqa: SIM115 - lives as long as this.
        self._num_rows, self._width = 0, 0

    def append(self, row: np.ndarray) -> None:
        """Append one row; all have the same width."""
        values = np.ascontiguousarray(row, np.float32)
        self._file.write(values.tobytes())
        self._num_rows, self._width = self._num_rows + 1, values.size

    def rows(self) -> np.ndarray:
        """All rows, [N, D] float32."""
        self._file.flush()
        return np.memmap(self._file, np.float32, "r", shape=(self._num_rows, self._width))


class ListFeatures:
    """Features of a list, added image by image as scores are; images without a true background are skipped.

    Args:
        inception: the network that makes the features.
    """

    def __init__(self, inception: "Inception") -> None:
        self._inception = inception
        self._gray: np.ndarray | None = None
        self._truth = FeatureFile()
        self._made: dict[str, dict[str, FeatureFile]] = {}
        self._scenes: list[str] = []
        self._photographs: list[str] = []
        self._origins: list[str] = []

    def add_image(self, case: Case) -> None:
        """Add the true background of a case."""
        if case.background is not None:
            self._truth.append(self._inception.features([case.background])[0])
            self._scenes.append(case.key)
            self._photographs.append(case.photograph)
            self._origins.append(case.origin)

    def add_answer(self, method: str, case: Case, answer: Layers | None) -> None:
        """Add a method's background, as it is and pasted back; None = a missing output, which counts as gray."""
        if case.background is None:
            return
        files = self._made.setdefault(method, {ending: FeatureFile() for ending in _ENDINGS})
        if answer is None or answer.background is None:
            if self._gray is None:
                self._gray = self._inception.features([_GRAY])[0]
            rows: Sequence[np.ndarray] = [self._gray] * len(_ENDINGS)
        else:
            background = answer.background
            rows = self._inception.features([background, paste_back(case, background, answer.opacity)])
        for ending, row in zip(_ENDINGS, rows, strict=True):
            files[ending].append(row)

    @property
    def not_measured(self) -> dict[Key, str]:
        """Metrics that cannot be taken of this list, with the reason; empty where all can."""
        if len(self._scenes) >= MIN_IMAGES:
            return {}
        reason = f"it needs {MIN_IMAGES} images whose true background is known, but the list has {len(self._scenes)}"
        return {(metric.part, metric.name): reason for metric in LIST_METRICS}

    def scores(self, seed: int) -> dict[str, dict[Key, ListScore]]:
        """Scores by method and metric; empty with fewer than two images."""
        number = len(self._scenes)
        if number < MIN_IMAGES:
            return {}
        truth, clusters = self._truth.rows(), Clusters(self._photographs, self._origins)
        moments_of_truth = moments(truth)
        found: dict[str, dict[Key, ListScore]] = {}
        for method, files in self._made.items():
            for ending, file in files.items():
                made = file.rows()
                distance = frechet_distance(moments_of_truth, moments(made))
                kernel = kid(made, truth, self._scenes, clusters, seed)
                of_method = found.setdefault(method, {})
                of_method["background", f"fid_whole{ending}"] = ListScore(distance, None, number, clusters)
                of_method["background", f"kid_whole{ending}"] = ListScore(
                    kernel.value, kernel.left_out, number, clusters
                )
        return found
