"""MULAN annotations and the pictures they belong to."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.config.section import Section


class MulanConfig(Section):
    """MULAN annotations and the pictures they belong to."""

    source: Literal["packaged", "folder"] = "folder"
    """`packaged`: a small tree in the same byte format, made from packaged photographs (the demo)."""
    annotations: str = Field("", description="folder with *.p.zl files, searched recursively")
    images: str = Field("", description="folder with train2017/ and val2017/")
    num_shards: int = Field(64, ge=1, le=2000)
    max_inflated_mb: int = Field(256, ge=1, le=1024, description="bound of one annotation after decompression")

    @model_validator(mode="after")
    def _folders_named(self) -> "MulanConfig":
        if self.source == "folder" and not (self.annotations and self.images):
            raise ValueError("annotations and images must name folders when source = 'folder'")
        return self
