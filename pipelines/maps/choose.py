"""The three makers that a profile asks for."""

from pipelines.config import MapsConfig
from pipelines.maps.depth import DarkChannel, DepthMaps
from pipelines.maps.edges import CannyEdges
from pipelines.maps.maker import MapMaker
from pipelines.maps.segmentation import Felzenszwalb, SegmentationMaps


def make_makers(config: MapsConfig) -> tuple[MapMaker, MapMaker, MapMaker]:
    """Makers of edges, segmentation and depth, in that order."""
    return (
        CannyEdges(config.edges),
        SegmentationMaps(Felzenszwalb(config.segmentation)),
        DepthMaps(DarkChannel(config.depth)),
    )
