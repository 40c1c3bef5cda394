"""The part `evaluation.gate` of a profile."""

from pipelines.config import Section


class GateConfig(Section):
    """When a new adapter replaces the champion."""
