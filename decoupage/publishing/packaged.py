"""The small adapter that comes with the package, so that a photograph can be tried before anything is trained."""

from pathlib import Path

from decoupage.publishing.folder import MANIFEST

SHIPPED = Path(__file__).parents[1] / "bases" / "small_fill" / "adapter"
"""A published folder; the base that it names is packaged, too."""


def shipped_adapter() -> Path:
    """The packaged adapter's folder. Raises ValueError where this version has none."""
    if not (SHIPPED / MANIFEST).is_file():
        raise ValueError(
            "no adapter is packaged with this version: name a published one, with --model DIR or from_pretrained(DIR); "
            "docs/first_adapter.md makes one"
        )
    return SHIPPED
