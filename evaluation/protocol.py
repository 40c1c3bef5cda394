"""What decides a score besides list and weights: two scores compare only where all of it is the same."""

from typing import Any

from evaluation.config import EvaluationConfig

VERSION = 3
"""Version of metrics, regions, the running of methods, and what intervals need in addition to scores. Raise it whenever
the same pictures would get another score, or earlier scores lack a column."""


def protocol_of(config: EvaluationConfig) -> dict[str, Any]:
    """Version, sampling, and the hash of each file that learned metrics measure with; no paths, because files move."""
    metrics = config.metrics
    networks = {"inception": metrics.inception}
    if metrics.lpips is not None:
        networks |= {"lpips.trunk": metrics.lpips.trunk, "lpips.head": metrics.lpips.head}
    hashes = {name: weights.sha256 for name, weights in networks.items() if weights is not None}
    return {"version": VERSION, "num_steps": config.num_steps, "seed": config.seed, "networks": hashes}
