"""The three makers that a profile asks for."""

from pipelines.config import DepthConfig, MapsConfig, SegmentationConfig
from pipelines.maps.depth import DarkChannel, DepthEstimator, DepthMaps
from pipelines.maps.depth_anything import DepthAnything
from pipelines.maps.edges import CannyEdges
from pipelines.maps.maker import MapMaker
from pipelines.maps.segformer import Segformer
from pipelines.maps.segmentation import Felzenszwalb, SegmentationMaps, Segmenter


def make_makers(config: MapsConfig) -> tuple[MapMaker, MapMaker, MapMaker]:
    """Makers of edges, segmentation and depth, in that order."""
    return (
        CannyEdges(config.edges),
        SegmentationMaps(_segmenter(config.segmentation)),
        DepthMaps(_estimator(config.depth)),
    )


def _segmenter(config: SegmentationConfig) -> Segmenter:
    return Segformer(config) if config.model == "segformer" else Felzenszwalb(config)


def _estimator(config: DepthConfig) -> DepthEstimator:
    return DepthAnything(config) if config.model == "depth_anything_v2" else DarkChannel(config)
