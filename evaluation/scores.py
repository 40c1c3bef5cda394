"""The table of raw scores: one value for each image, method and metric. Nothing else is kept of a judged picture."""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from evaluation.cases import Case, Entry
from evaluation.checks import HEADLINE
from evaluation.difficulty import difficulty
from evaluation.method import BACKGROUND, Answered, Failure, Layers
from evaluation.metrics.catalogue import IMAGE_METRICS, Part
from evaluation.metrics.lists import Key, ListFeatures, ListScore
from evaluation.metrics.networks import Networks
from evaluation.metrics.score import Scores
from evaluation.statistics import Clusters

UNKNOWN = "unknown"
"""The stratum of an image whose list does not say."""
SMALL = "at_model_size."
"""Heads the columns of scores at the model's size."""


@dataclass
class ScoreTable:
    """Grows image by image; every list has one entry for each image.

    Attributes:
        entries: the list: names and hashes.
        scenes: the scene of each image.
        photographs, origins: see `Case`.
        strata: name of a stratification -> the stratum of each image.
        difficulties: name of a difficulty -> its value for each image; NaN = unknown.
        values: method -> (part, metric) -> value of each image; NaN = not measured.
        gives: method -> the parts that it promises.
        small: the same at the model's size, of headline metrics only.
        failures: method -> image -> why there is no output.
        num_covered_unknown: images of which the list does not know what covers the target.
        networks: those that metrics may use.
        model_size_px: side of the area at which the model works; None = nothing is scored there.
        features: what metrics of the whole list are computed from; None without their network.
    """

    entries: list[Entry] = field(default_factory=list)
    scenes: list[str] = field(default_factory=list)
    photographs: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    strata: dict[str, list[str]] = field(default_factory=dict)
    difficulties: dict[str, list[float]] = field(default_factory=dict)
    values: dict[str, dict[tuple[Part, str], list[float]]] = field(default_factory=dict)
    small: dict[str, dict[tuple[Part, str], list[float]]] = field(default_factory=dict)
    gives: dict[str, frozenset[str]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    num_covered_unknown: int = 0
    networks: Networks = field(default_factory=Networks)
    model_size_px: int | None = None
    features: ListFeatures | None = field(init=False)

    def __post_init__(self) -> None:
        inception = self.networks.inception
        self.features = None if inception is None else ListFeatures(inception)

    def add_image(self, case: Case) -> None:
        """Enter an image; then add each method's answer to it."""
        self.entries.append(Entry(case.name, case.sha256))
        self.scenes.append(case.key)
        self.photographs.append(case.photograph)
        self.origins.append(case.origin)
        self.num_covered_unknown += case.covered is None
        for name in {**dict.fromkeys(self.strata), **case.strata}:
            column = self.strata.setdefault(name, [UNKNOWN] * (len(self.entries) - 1))
            column.append(case.strata.get(name, UNKNOWN))
        if self.features is not None:
            self.features.add_image(case)
        for name, value in difficulty(case).items():
            self.difficulties.setdefault(name, []).append(math.nan if value is None else value)

    def add_answer(self, method: Answered, case: Case, answer: Layers | Failure, found: Scores, small: Scores) -> None:
        """Enter a method's output for the case, and its scores; a failure gets the worst scores.

        Args:
            small: scores at the model's size; empty where nothing is scored there.
        """
        self.gives[method.name] = method.gives
        self.failures.setdefault(method.name, {})
        if isinstance(answer, Failure):
            self.failures[method.name][case.name] = answer.reason
        columns = self.values.setdefault(method.name, {})
        for metric in IMAGE_METRICS:
            columns.setdefault((metric.part, metric.name), []).append(found.get((metric.part, metric.name), math.nan))
        if self.model_size_px is not None:
            columns = self.small.setdefault(method.name, {})
            for key in HEADLINE:
                columns.setdefault(key, []).append(small.get(key, math.nan))
        if self.features is not None and BACKGROUND in method.gives:
            self.features.add_answer(method.name, case, None if isinstance(answer, Failure) else answer)

    @property
    def names(self) -> list[str]:
        """Of the images, in the list's order."""
        return [entry.name for entry in self.entries]

    @property
    def methods(self) -> list[str]:
        """Names, in the order in which they came."""
        return list(self.values)

    def column(self, method: str, part: Part, metric: str, small: bool = False) -> np.ndarray:
        """[images] float64; NaN = not measured. `small`: at the model's size."""
        return np.array((self.small if small else self.values)[method][part, metric], np.float64)

    @property
    def clusters(self) -> Clusters:
        """What the images have in common, for intervals."""
        return Clusters(self.photographs, self.origins)

    def list_scores(self, seed: int) -> dict[str, dict[Key, ListScore]]:
        """Method -> (part, metric) -> figures for the whole list; without those that are not measured."""
        return {} if self.features is None else self.features.scores(seed)

    @property
    def not_measured(self) -> dict[Key, str]:
        """Metrics that no method was measured by, and why."""
        return self.networks.not_measured | ({} if self.features is None else self.features.not_measured)

    def where(self, stratification: str, stratum: str) -> np.ndarray:
        """[images] bool: which images belong to a stratum."""
        return np.array(self.strata[stratification]) == stratum

    def to_frame(self) -> pd.DataFrame:
        """One row for each image and method.

        Columns: name, scene, photograph, origin, strata, difficulties, `failed`, `<part>.<metric>`; and scores at the
        model's size in `at_model_size.<part>.<metric>`.
        """
        frames = []
        images = {"image": self.names, "scene": self.scenes, "photograph": self.photographs, "origin": self.origins}
        for method, columns in self.values.items():
            frame = pd.DataFrame({**images, "method": method, **self.strata, **self.difficulties})
            frame["failed"] = [name in self.failures[method] for name in self.names]
            scores = pd.DataFrame({f"{part}.{metric}": column for (part, metric), column in columns.items()})
            small = {f"{SMALL}{part}.{metric}": column for (part, metric), column in self.small.get(method, {}).items()}
            frames.append(pd.concat([frame, scores, pd.DataFrame(small)], axis=1))
        return pd.concat(frames, ignore_index=True)
