"""Segmentation maps: which region each pixel of the composite belongs to, at the segmenter's own resolution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from decoupage.fingerprint import Recipe
from decoupage.images.codecs import encode_gray
from decoupage.images.types import Array, Gray, Rgb
from decoupage.maps.config import SegmentationConfig
from decoupage.maps.maker import Classical, Model, ModelMaps, shrink
from decoupage.randomness import generator


class Segmenter(Model, Protocol):
    """Puts pictures apart into labelled regions; picklable."""

    @property
    def name(self) -> str:
        """Of the model, as reports show it."""
        ...

    @property
    def num_classes(self) -> int | None:
        """How many classes labels stand for; None when they only number the regions of one picture."""
        ...

    def labels(self, pictures_HWC: Sequence[Rgb]) -> list[Gray]:
        """[h, w] uint8 for each picture, at the segmenter's own resolution."""
        ...


@dataclass(frozen=True)
class SegmentationMaps(ModelMaps):
    """A `MapMaker`; its PNGs are 8-bit labels."""

    segmenter: Segmenter
    name: str = "segmentation"

    @property
    def model(self) -> Segmenter:
        """The segmenter."""
        return self.segmenter

    def pngs(self, pictures_HWC: Sequence[Rgb]) -> list[bytes]:
        """See `MapMaker`."""
        return [encode_gray(labels) for labels in self.segmenter.labels(pictures_HWC)]


@dataclass(frozen=True)
class Felzenszwalb(Classical):
    """Regions of a minimum spanning forest: the stand-in for SegFormer, without classes.

    Labels number the regions 0..n-1 in the order in which they first appear, row by row.
    Source: Felzenszwalb and Huttenlocher 2004, as in scikit-image.
    """

    config: SegmentationConfig
    scale: float = 200.0
    """Higher means fewer and larger regions."""
    sigma_px: float = 0.8
    name: str = "felzenszwalb"
    stands_in_for: str = "SegFormer"
    num_classes: int | None = None

    @property
    def recipe(self) -> Recipe:
        """Size, smallest region, scale and smoothing."""
        return {
            "model": self.name,
            "size_px": self.config.size_px,
            "min_region_share": self.config.min_region_share,
            "scale": self.scale,
            "sigma_px": self.sigma_px,
        }

    def labels(self, pictures_HWC: Sequence[Rgb]) -> list[Gray]:
        """See `Segmenter`; the longer side is at most `size_px`."""
        return [self._labels(shrink(rgb, self.config.size_px)) for rgb in pictures_HWC]

    def _labels(self, rgb_HWC: Rgb) -> Gray:
        from skimage.segmentation import felzenszwalb  # Heavy, and only maps need it.

        height, width = rgb_HWC.shape[:2]
        # Edges of equal weight are taken in an order that depends on the processor's sorting instructions.
        # A fixed grain far below one gray level leaves no equal weights.
        grain = generator(0, self.name, (height, width)).random(rgb_HWC.shape) * 1e-6
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
