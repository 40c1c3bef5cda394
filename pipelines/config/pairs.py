"""Pairs of pictures with and without an object: how a folder holds them, and those that a profile trains on."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from decoupage.settings import Section


def _checked_pattern(pattern: str) -> str:
    parts = pattern.split("/")
    if pattern.count("*") != 1 or pattern.startswith("/") or ".." in parts or "" in parts or "\\" in pattern:
        raise ValueError(f"a pattern is a path below the folder with one * for the image's name, got {pattern!r}")
    return pattern


Pattern = Annotated[str, AfterValidator(_checked_pattern)]
"""A pattern of paths, such as `img/*` (every format of pictures) or `*/composite.png`."""


class LayoutConfig(Section):
    """Paths of one pair's pictures below a folder; the `*` of all patterns is the same name."""

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

    def scene_of(self, name: str) -> str:
        """The scene that an image shows: frames of one scene have one background."""
        match = re.search(self.scene, name) if self.scene else None
        return match[1] if match and match[1] else name


LAYOUTS: Mapping[str, LayoutConfig] = {
    "plain": LayoutConfig(image="image/*", mask="mask/*", background="background/*", foreground="foreground/*"),
    "rord": LayoutConfig(
        image="img/*", mask="mask/*", background="gt/*", mask_is="black", scene=r"^(.+?)(?:_W\d+)?_F\d+$"
    ),
    "rord_val": LayoutConfig(image="paste/*", mask="mask/*", background="gt/*", scene=r"^(.+?)(?:_W\d+)?_F\d+$"),
    "ober": LayoutConfig(image="input/*", mask="object_mask/*", background="gt/*"),
    "ober_effect": LayoutConfig(
        image="input/*", mask="object_effect_mask/*", background="gt/*", visible="object_mask/*"
    ),
    "removal_bench": LayoutConfig(image="images/*", mask="masks/*", background="gt/*"),
    "corne": LayoutConfig(image="shot/*", mask="mask_sam/*", background="bg/*"),
    "corne_effect": LayoutConfig(image="shot/*", mask="mask_eff/*", background="bg/*", visible="mask_sam/*"),
}
"""Where published sets keep their pictures, by name. What is known of each, and from where: docs/test_sets.md.

Those that end in `_effect` give methods the mask of object and shadow; regions still come from the object.
"""


class PairsConfig(Section):
    """The source of before/after pairs that training may draw from (`data.pairs_share` of its recipe)."""

    source: Literal["none", "folder"] = "none"
    folder: str = Field("", description="folder that the layout's patterns are relative to; attribution.csv is read")
    layout: str = Field("plain", description="a named layout: where the folder holds which picture")
    licence: str = Field("unknown", description="licence of pairs for which attribution.csv names none")
    num_shards: int = Field(1, ge=1, le=2000, description="number of shards of the pairs")

    @model_validator(mode="after")
    def _complete(self) -> "PairsConfig":
        if self.source == "folder" and not self.folder:
            raise ValueError("folder must name a folder when source = 'folder'")
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {self.layout!r}")
        return self
