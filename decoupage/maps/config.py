"""Maps of the composite."""

from typing import Literal

from pydantic import Field, model_validator

from decoupage.settings import Section, check_range
from decoupage.weights.hub import HubId


class EdgesConfig(Section):
    """Canny on the gray composite."""

    low: int = Field(100, ge=0, le=1000)
    high: int = Field(200, ge=1, le=1000)

    @model_validator(mode="after")
    def _ordered(self) -> "EdgesConfig":
        check_range("low, high", (self.low, self.high))
        return self


class ModelConfig(Section):
    """How a model of maps is run, and where a net's weights are; classical models read the size alone.

    Of the rest only `weights` is part of the recipe, without its revision. What the files hold is hashed into every
    shard's manifest.
    """

    size_px: int = Field(256, ge=32, le=2048, description="side at which maps are computed")
    weights: HubId
    """The published model; it decides the licence, wherever the files are."""
    folder: str = Field("", description="folder with its files; empty = the Hub's cache. Nothing is downloaded")
    batch_size: int = Field(8, ge=1, le=1024, description="pictures at once")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto = a GPU where there is one")


class SegmentationConfig(ModelConfig):
    """Regions of the composite."""

    model: Literal["felzenszwalb", "segformer"] = "felzenszwalb"
    """`felzenszwalb`: classical graph regions without classes, the stand-in for SegFormer."""
    min_region_share: float = Field(0.005, ge=0.004, le=1.0, description="at most 250 regions fit the 8-bit map")
    weights: HubId = "nvidia/segformer-b5-finetuned-ade-640-640@f4c8e8f5b581b6bc8ed5208e4bd139d95f65610f"
    """The commit is that of the repository's pull request 3: `main` has the weights as a pickle alone."""


class DepthConfig(ModelConfig):
    """Inverse depth of each pixel of the composite."""

    model: Literal["dark_channel", "depth_anything_v2"] = "dark_channel"
    """`dark_channel`: the haze prior, the stand-in for Depth-Anything-V2."""
    weights: HubId = "depth-anything/Depth-Anything-V2-Small-hf"
    """Small is Apache-2.0; Base and Large are CC BY-NC 4.0."""


class MapsConfig(Section):
    """Maps of the composite."""

    edges: EdgesConfig = EdgesConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    depth: DepthConfig = DepthConfig()
