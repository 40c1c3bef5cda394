"""Bradley-Terry strengths from wins, by choix (Maystre and Grossglauser 2015, I-LSR)."""

import numpy as np

from pipelines.stages.progress import Progress

PRIOR_WINS = 0.5
"""Added to each side of every pair: keeps strengths finite where one method won all. Weighs as one tie."""


def strengths(wins: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """[methods] float64, log strengths with mean 0: first beats second with 1 / (1 + exp(second - first)).

    Args:
        wins: [methods, methods], of the first over the second; a tie is half a win for each.
        start: strengths of something alike, from which it takes fewer steps.
    """
    import choix

    padded = wins + PRIOR_WINS * (1 - np.eye(len(wins)))
    found = np.asarray(choix.ilsr_pairwise_dense(padded, initial_params=start), np.float64)
    return found - found.mean()


def resampled_strengths(draws: np.ndarray, start: np.ndarray) -> np.ndarray:
    """[draws, methods] for [draws, methods, methods] wins."""
    with Progress("strengths", "draws", len(draws)) as progress:
        return np.stack([strengths(wins, start) for wins in progress.counting(draws)])
