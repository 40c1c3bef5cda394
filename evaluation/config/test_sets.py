"""The part `evaluation.test_sets` of a profile: test sets in addition to the product's own held-out scenes."""

from typing import Annotated

from pydantic import Field, model_validator

from pipelines.config import Section
from pipelines.config.pairs import LayoutConfig

SetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""Name of a test set, in reports and as a folder's name."""


class FolderConfig(Section):
    """One folder of pictures that is a test set."""

    folder: str = Field(min_length=1, description="folder that the layout's patterns are relative to")
    layout: SetName = Field("plain", description="a named layout, or one of evaluation.test_sets.layouts")


class TestSetsConfig(Section):
    """Test sets in addition to the product's own held-out scenes."""

    __test__ = False  # pytest takes what begins with Test for its own.

    dilate_px: int = Field(
        0, ge=0, le=256, description="number of pixels by which given masks are grown, for all methods"
    )
    """In pixels of the picture. Held-out scenes keep their imperfect masks as they are."""
    folders: dict[SetName, FolderConfig] = Field({}, description="folders of pictures, by the set's name")
    layouts: dict[SetName, LayoutConfig] = Field({}, description="further layouts, by name")
    mulan_ids: str = Field("", description="file of MULAN ids, one per line; empty = the test part of MULAN's split")
    expected_lists: dict[SetName, str] = Field({}, description="an earlier list.json, or its hash, by the set's name")
    """A set with another list is refused before work starts."""

    @model_validator(mode="after")
    def _names_apart(self) -> "TestSetsConfig":
        if taken := {"held_out", "mulan"} & self.folders.keys():
            raise ValueError(f"folders cannot be named {', '.join(sorted(taken))}: these are other test sets")
        return self
