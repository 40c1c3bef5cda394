"""FID: the Fréchet distance between Gaussians with the moments of two sets of features (Heusel et al., NeurIPS 2017).

Features come as rows and are read in blocks, so a set may be larger than memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

_ROWS = 1024
"""Number of rows that are read at once."""


@dataclass(frozen=True)
class Moments:
    """Mean [D] and covariance [D, D] of rows, float64; the covariance with N - 1, as is usual for FID."""

    mean: np.ndarray
    covariance: np.ndarray

    @cached_property
    def root(self) -> np.ndarray:
        """The covariance's symmetric root [D, D]; it takes seconds for 2048 features, so it is kept."""
        values, vectors = np.linalg.eigh(self.covariance)
        return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)


def moments(features: np.ndarray) -> Moments:
    """Moments of [N, D] features, N >= 2, in two passes: the summed values are small, so little is lost in rounding."""
    mean = sum(block.sum(axis=0) for block in _blocks(features)) / len(features)
    scatter = np.zeros((features.shape[1], features.shape[1]))
    for block in _blocks(features):
        centred = block - mean
        scatter += centred.T @ centred
    return Moments(np.asarray(mean), scatter / (len(features) - 1))


def frechet_distance(first: Moments, second: Moments) -> float:
    """FID: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); 0 for equal moments.

    The root's trace is the sum of the roots of the eigenvalues of A C2 A with A = C1^(1/2), which is symmetric: that
    holds also where a covariance has no full rank, as with fewer pictures than features.
    """
    product = first.root @ second.covariance @ first.root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    shift = first.mean - second.mean
    # Rounding may give a value slightly below zero.
    return max(0.0, float(shift @ shift + traces - 2 * np.sqrt(eigenvalues.clip(0)).sum()))


def _blocks(features: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(features), _ROWS):
        yield features[start : start + _ROWS].astype(np.float64)
