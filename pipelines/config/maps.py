"""Maps of the composite."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.config.section import Section, check_range


class EdgesConfig(Section):
    """Canny on the gray composite."""

    low: int = Field(100, ge=0, le=1000)
    high: int = Field(200, ge=1, le=1000)

    @model_validator(mode="after")
    def _ordered(self) -> "EdgesConfig":
        check_range("low, high", (self.low, self.high))
        return self


class SegmentationConfig(Section):
    """Regions of the composite."""

    model: Literal["felzenszwalb"] = "felzenszwalb"
    """`felzenszwalb`: classical graph regions without classes, the stand-in for SegFormer."""
    size_px: int = Field(256, ge=32, le=2048, description="side at which regions are computed and stored")
    min_region_share: float = Field(0.005, ge=0.004, le=1.0, description="at most 250 regions fit the 8-bit map")


class DepthConfig(Section):
    """Nearness of each pixel of the composite."""

    model: Literal["dark_channel"] = "dark_channel"
    """`dark_channel`: the haze prior, the stand-in for Depth-Anything-V2."""
    size_px: int = Field(256, ge=32, le=2048, description="side at which depth is computed and stored")


class MapsConfig(Section):
    """Maps of the composite."""

    edges: EdgesConfig = EdgesConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    depth: DepthConfig = DepthConfig()
