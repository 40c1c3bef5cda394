"""Scores by the difficulty of cases, and the spread of scores: the numbers that the report draws as curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from evaluation.metrics.catalogue import Part
from evaluation.scores import ScoreTable

NUM_BINS = 5
PERCENT = tuple(range(0, 101, 5))
CURVES: tuple[tuple[Part, str], ...] = (("background", "psnr_mask"), ("foreground", "soft_iou"))
"""Metrics that are shown over difficulties."""
SPREADS: tuple[tuple[Part, str], ...] = (*CURVES, ("recomposition", "psnr_whole"))
"""Metrics whose percentiles are reported."""


def bins_of(values: np.ndarray, num_bins: int = NUM_BINS) -> list[np.ndarray]:
    """[images] bool each: about equally many images, from small values to large; equal values stay together.

    Args:
        values: [images]; NaN = unknown, in no bin.
        num_bins: maximum number of bins.
    """
    known = values[~np.isnan(values)]
    found, counts = np.unique(known, return_counts=True)
    members: list[np.ndarray] = []
    left, start, inside = len(known), 0, 0
    for place, count in enumerate(counts):
        inside += count
        # The remaining values are divided again each time, so one large group of equal values does not shrink the other
        # bins.
        if inside * (num_bins - len(members)) >= left or place == len(counts) - 1:
            members.append((values >= found[start]) & (values <= found[place]))
            left, start, inside = left - inside, place + 1, 0
    return members


def spreads(table: ScoreTable) -> dict[str, Any]:
    """The percentiles of each method's scores; null where fewer than two images were measured."""
    return {
        "percent": list(PERCENT),
        "methods": {
            name: _nested({metric: _percentiles(table.column(name, *metric)) for metric in SPREADS})
            for name in table.methods
        },
    }


def _percentiles(column: np.ndarray) -> list[float] | None:
    measured = column[~np.isnan(column)]
    return np.percentile(measured, PERCENT).tolist() if measured.size > 1 else None


def _nested(found: Mapping[tuple[Part, str], Any]) -> dict[str, dict[str, Any]]:
    parts: dict[str, dict[str, Any]] = {}
    for (part, metric), value in found.items():
        parts.setdefault(part, {})[metric] = value
    return parts


def bin_facts(values: np.ndarray, where: np.ndarray) -> dict[str, float | int]:
    """Where a bin lies: smallest, mean and largest value, and how many images it holds."""
    inside = values[where]
    return {
        "from": float(inside.min()),
        "mean": float(inside.mean()),
        "to": float(inside.max()),
        "num_images": int(where.sum()),
    }
