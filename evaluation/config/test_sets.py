"""The part `evaluation.test_sets` of a profile."""

from pipelines.config import Section


class TestSetsConfig(Section):
    """Lists beside our own held-out scenes."""
