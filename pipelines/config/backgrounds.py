"""Photographs to put objects in front of."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.config.section import Section


class BackgroundConfig(Section):
    """Photographs to put objects in front of."""

    source: Literal["packaged", "folder"] = "folder"
    folder: str = Field("", description="folder of pictures, with attribution.csv when there is one")
    min_side_px: int = Field(256, ge=16, le=8192)
    min_sharpness: float = Field(0.0, ge=0.0, description="variance of the Laplacian of the gray picture at 512 px")
    licence: str = Field("unknown", description="licence of pictures for which attribution.csv says none")

    @model_validator(mode="after")
    def _folder_named(self) -> "BackgroundConfig":
        if self.source == "folder" and not self.folder:
            raise ValueError("folder must name a folder when source = 'folder'")
        return self
