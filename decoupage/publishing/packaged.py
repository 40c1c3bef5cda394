"""The small adapter that comes with the package, so that a photograph can be tried before anything is trained."""

from pathlib import Path


def shipped_adapter() -> Path:
    """The packaged adapter's folder, a published one; the base that it names is packaged, too."""
    return Path(__file__).parents[1] / "bases" / "small_fill" / "adapter"
