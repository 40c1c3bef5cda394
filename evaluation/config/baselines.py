"""The part `evaluation.baselines` of a profile."""

from pipelines.config import Section


class BaselinesConfig(Section):
    """Other people's methods under the same protocol."""
