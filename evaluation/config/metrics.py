"""The part `evaluation.metrics` of a profile."""

from pipelines.config import Section


class MetricsConfig(Section):
    """Where the weights of learned metrics lie."""
