"""Where samples are mapped, and when a check of the data fails."""

from typing import Literal

from pydantic import Field

from decoupage.settings import Section, Share


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
