"""The catalogue and the build: what may enter, what it is for, where it is computed, and when a check fails."""

from typing import Literal

from pydantic import Field

from decoupage.settings import Section, Share


class LibraryConfig(Section):
    """The catalogue over all sources."""

    duplicate_distance_bits: int = Field(4, ge=0, le=32, description="pictures this near in a 64-bit hash are one")
    held_out_share: Share = Field(0.05, description="share of photographs kept for testing, by hash of their origin")
    held_out: tuple[str, ...] = Field((), description="origins always kept for testing")
    takedowns: str = Field("configs/takedowns.txt", description="file of ids that must not be used")
    evaluation_lists: tuple[str, ...] = Field(
        (), description="pictures that no training may see: files of ids (text, CSV, parquet) or folders of pictures"
    )


class LicencesConfig(Section):
    """What a build is for."""

    commercial: bool = Field(False, description="nothing may enter whose licence does not permit commercial use")


class EngineConfig(Section):
    """Where samples are mapped."""

    kind: Literal["serial", "process"] = "process"
    workers: int = Field(0, ge=0, le=1024, description="processes; 0 = one for each core")


class ChecksConfig(Section):
    """When a check of the data fails."""

    max_quarantine_share: Share = Field(0.2, description="of a source's items")
    max_scene_drop_share: Share = Field(0.05, description="of the planned scenes")
    min_foregrounds: int = Field(4, ge=1)
    min_backgrounds: int = Field(2, ge=1)
