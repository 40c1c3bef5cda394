"""The part `evaluation.ablations` of a profile."""

from pipelines.config import Section


class AblationsConfig(Section):
    """Which recipes are compared, and how."""
