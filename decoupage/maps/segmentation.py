"""Segmentation maps: which region each pixel of the composite belongs to, at the maker's own resolution."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from decoupage.fingerprint import Recipe
from decoupage.images.codecs import encode_gray
from decoupage.images.types import Array, Gray, Rgb
from decoupage.maps.config import SegmentationConfig
from decoupage.maps.maker import MapMaker, shrink
from decoupage.randomness import generator


class SegmentationMaps(MapMaker):
    """Puts pictures apart into labelled regions; its PNGs are 8-bit labels."""

    name: ClassVar[str] = "segmentation"

    @abstractmethod
    def labels(self, pictures_HWC: Sequence[Rgb]) -> list[Gray]:
        """[h, w] uint8 for each picture, at the maker's own resolution."""

    def pngs(self, pictures_HWC: Sequence[Rgb]) -> list[bytes]:
        """See `MapMaker`."""
        return [encode_gray(labels) for labels in self.labels(pictures_HWC)]


@dataclass(frozen=True)
class Felzenszwalb(SegmentationMaps):
    """Regions of a minimum spanning forest: the stand-in for SegFormer, without classes.

    Labels number the regions 0..n-1 in the order in which they first appear, row by row.
    Source: Felzenszwalb and Huttenlocher 2004, as in scikit-image.
    """

    model: ClassVar[str] = "felzenszwalb"
    stands_in_for: ClassVar[str] = "SegFormer"
    config: SegmentationConfig
    scale: float = 200.0
    """Higher means fewer and larger regions."""
    sigma_px: float = 0.8

    @property
    def recipe(self) -> Recipe:
        """Size, smallest region, scale and smoothing."""
        return {
            "model": self.model,
            "size_px": self.config.size_px,
            "min_region_share": self.config.min_region_share,
            "scale": self.scale,
            "sigma_px": self.sigma_px,
        }

    def labels(self, pictures_HWC: Sequence[Rgb]) -> list[Gray]:
        """See `SegmentationMaps`; the longer side is at most `size_px`."""
        return [self._labels(shrink(rgb, self.config.size_px)) for rgb in pictures_HWC]

    def _labels(self, rgb_HWC: Rgb) -> Gray:
        from skimage.segmentation import felzenszwalb  # Heavy, and only maps need it.

        height, width = rgb_HWC.shape[:2]
        # Edges of equal weight are taken in an order that depends on the processor's sorting instructions.
        # A fixed grain far below one gray level leaves no equal weights.
        grain = generator(0, self.model, (height, width)).random(rgb_HWC.shape) * 1e-6
        # Regions below min_size are merged, so there are at most 1 / min_region_share: they fit 8 bits.
        min_size_px = math.ceil(self.config.min_region_share * height * width)
        regions = felzenszwalb(rgb_HWC / 255.0 + grain, self.scale, self.sigma_px, min_size_px)
        return number_by_appearance(regions)


def number_by_appearance(regions: Array) -> Gray:
    """Renumber the regions of a [h, w] integer array 0..n-1 in the order they first appear, row by row.

    Raises:
        ValueError: more than 256 regions.
    """
    _, first, inverse = np.unique(regions, return_index=True, return_inverse=True)
    if first.size > 256:
        raise ValueError(f"a map holds at most 256 regions, got {first.size}")
    rank = np.empty(first.size, np.uint8)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[inverse].reshape(regions.shape)
