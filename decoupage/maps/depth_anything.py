"""Depth-Anything-V2: how near each pixel of the composite is, with published weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from decoupage.images.types import Rgb
from decoupage.maps.config import DepthConfig
from decoupage.maps.depth import Depth, DepthMaps
from decoupage.maps.net import load_net
from decoupage.maps.published import PublishedNet


@dataclass(frozen=True)
class DepthAnything(DepthMaps, PublishedNet):
    """The maker of depth by Depth-Anything-V2.

    The shorter side becomes `size_px`, both sides multiples of the net's patch of 14 pixels. The net gives
    disparity up to an unknown scale and offset, so each picture is stretched from its own farthest to its own nearest
    pixel. Source: Yang et al. 2024, as in transformers.
    """

    model: ClassVar[str] = "depth_anything_v2"
    section: ClassVar[str] = "maps.depth"
    config: DepthConfig

    def depth(self, pictures_HWC: Sequence[Rgb]) -> list[Depth]:
        """See `DepthMaps`."""
        net = load_net("depth_anything", self.files, self.config.device)
        return net.run(pictures_HWC, self.config.size_px, self.config.batch_size, _stretched)

    def judge(self, config: dict[str, Any]) -> str:
        """See `PublishedNet`."""
        if config.get("model_type") != "depth_anything":
            return f"model_type must be depth_anything, got {config.get('model_type')}"
        # Metric nets give distance, which grows where disparity falls.
        kind = config.get("depth_estimation_type", "relative")
        return "" if kind == "relative" else f"depth_estimation_type must be relative, got {kind}"


def _stretched(output: Any) -> Any:
    """[B, h, w] in 0..1: each picture from its least to its greatest disparity; a flat one becomes 0.5."""
    disparity_Bhw = output.predicted_depth.float()
    low_B11, high_B11 = disparity_Bhw.amin((1, 2), keepdim=True), disparity_Bhw.amax((1, 2), keepdim=True)
    span_B11 = high_B11 - low_B11
    # Below a 16-bit level of the nearest there is nothing but rounding to stretch.
    is_flat_B11 = span_B11 <= high_B11.abs() / 65535.0
    return ((disparity_Bhw - low_B11) / span_B11).masked_fill(is_flat_B11, 0.5)
