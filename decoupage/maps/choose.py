"""The three makers that a profile asks for."""

from decoupage.maps.config import DepthConfig, MapsConfig, SegmentationConfig
from decoupage.maps.depth import DarkChannel, DepthEstimator, DepthMaps
from decoupage.maps.depth_anything import DepthAnything
from decoupage.maps.edges import CannyEdges
from decoupage.maps.maker import MapMaker
from decoupage.maps.segformer import Segformer
from decoupage.maps.segmentation import Felzenszwalb, SegmentationMaps, Segmenter


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
