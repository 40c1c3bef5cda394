"""The part `evaluation.test_sets` of a profile: test sets in addition to the product's own held-out scenes."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipelines.config import Section

SetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""Name of a test set, in reports and as a folder's name."""


def _checked_pattern(pattern: str) -> str:
    parts = pattern.split("/")
    if pattern.count("*") != 1 or pattern.startswith("/") or ".." in parts or "" in parts or "\\" in pattern:
        raise ValueError(f"a pattern is a path below the folder with one * for the image's name, got {pattern!r}")
    return pattern


Pattern = Annotated[str, AfterValidator(_checked_pattern)]
"""A pattern of paths, such as `img/*` (every format of pictures) or `*/composite.png`."""


class LayoutConfig(Section):
    """Paths of one case's pictures below a folder; the `*` of all patterns is the same name."""

    image: Pattern = Field(description="the picture with the object")
    mask: Pattern = Field(description="the mask that every method is given")
    background: Pattern = Field(description="the same scene without the object")
    visible: Pattern | None = Field(None, description="mask of the visible object; absent = the given mask")
    foreground: Pattern | None = Field(None, description="RGBA of the whole object; absent, or no file = unknown")
    mask_is: Literal["white", "black"] = "white"
    """The colour of the object in masks."""
    scene: str = Field(
        "", description="regular expression whose group 1 names the scene; empty = each image is its own scene"
    )

    @model_validator(mode="after")
    def _one_group(self) -> "LayoutConfig":
        try:
            groups = re.compile(self.scene).groups
        except re.error as error:
            raise ValueError(f"scene is not a regular expression: {error}") from error
        if self.scene and groups != 1:
            raise ValueError(f"scene must have one group, the scene's name, got {groups} in {self.scene!r}")
        return self


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
