"""Depth maps: how near each pixel of the composite is, at the maker's own resolution."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.fingerprint import Recipe
from decoupage.images.codecs import encode_gray
from decoupage.images.types import Array, Rgb
from decoupage.maps.config import DepthConfig
from decoupage.maps.maker import MapMaker, shrink

Depth = NDArray[np.float32]
"""[h, w], 0..1, 1 = near."""


class DepthMaps(MapMaker):
    """Estimates inverse depth; its PNGs are 16-bit gray, 65,535 = nearest."""

    name: ClassVar[str] = "depth"

    @abstractmethod
    def depth(self, pictures_HWC: Sequence[Rgb]) -> list[Depth]:
        """[h, w] float32 in 0..1 (1 = near) for each picture, at the maker's own resolution."""

    def pngs(self, pictures_HWC: Sequence[Rgb]) -> list[bytes]:
        """See `MapMaker`."""
        return [encode_gray(to_uint16(depth)) for depth in self.depth(pictures_HWC)]


def to_uint16(depth: Depth) -> Array:
    """0..1 as 0..65,535. Raises ValueError for other values."""
    if not (depth.min() >= 0.0 and depth.max() <= 1.0):
        raise ValueError(f"depth must be in [0, 1], got [{depth.min()}, {depth.max()}]")
    return np.rint(depth * 65535.0).astype(np.uint16)


@dataclass(frozen=True)
class DarkChannel(DepthMaps):
    """Transmission of the haze prior as inverse depth: the stand-in for Depth-Anything-V2.

    In most places of a clear photograph one colour channel is dark; where none is, there is air in between,
    hence distance. A bright or white thing near by is mistaken for a far one.
    Sources: He, Sun and Tang 2009 (dark channel) and 2010 (guided filter).
    """

    model: ClassVar[str] = "dark_channel"
    stands_in_for: ClassVar[str] = "Depth-Anything-V2"
    config: DepthConfig

    @property
    def recipe(self) -> Recipe:
        """Size; the prior's own numbers are part of the name."""
        return {"model": self.model, "size_px": self.config.size_px}

    def depth(self, pictures_HWC: Sequence[Rgb]) -> list[Depth]:
        """See `DepthMaps`; the longer side is at most `size_px`."""
        return [self._depth(shrink(rgb, self.config.size_px)) for rgb in pictures_HWC]

    def _depth(self, rgb_HWC: Rgb) -> Depth:
        side_px = max(rgb_HWC.shape[:2])
        # The paper's 15-pixel patch belongs to pictures of about 512 px.
        patch_px = max(3, side_px // 32) | 1
        picture = rgb_HWC.astype(np.float32) / 255.0
        veil = _dark(picture / _air(picture, patch_px), patch_px)
        gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
        return _stretch(guided_filter(gray, 1.0 - veil, radius_px=max(2, side_px // 12), noise=1e-2))


def _dark(picture_HWC: NDArray[np.float32], patch_px: int) -> Depth:
    """The smallest value of any channel within a square patch."""
    return np.asarray(cv2.erode(picture_HWC.min(axis=-1), np.ones((patch_px, patch_px), np.uint8)), np.float32)


def _air(picture_HWC: NDArray[np.float32], patch_px: int) -> NDArray[np.float32]:
    """[3]: the colour of the air, the mean of the thousandth of pixels whose dark channel is brightest."""
    dark = _dark(picture_HWC, patch_px).ravel()
    hazy = np.argsort(dark, kind="stable")[-max(1, dark.size // 1000) :]
    return np.maximum(picture_HWC.reshape(-1, 3)[hazy].mean(axis=0), np.float32(0.1))


def guided_filter(guide: Depth, values: Depth, radius_px: int, noise: float) -> Depth:
    """Smooth [h, w] values along the guide's own edges (He, Sun and Tang 2010, equations 5, 6 and 8).

    Args:
        noise: variance of the guide, in 0..1 units, below which a window counts as flat.
    """
    window = (2 * radius_px + 1, 2 * radius_px + 1)

    def mean(image: Depth) -> Depth:
        return np.asarray(cv2.blur(image, window, borderType=cv2.BORDER_REFLECT), np.float32)

    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values) - mean_guide * mean_values
    variance = mean(guide * guide) - mean_guide * mean_guide
    slope = (covariance / (variance + noise)).astype(np.float32)
    return mean(slope) * guide + mean(mean_values - slope * mean_guide)


def _stretch(values: Depth) -> Depth:
    """Use the whole of 0..1, leaving out the outermost hundredth at both ends; a flat picture becomes 0.5."""
    low, high = np.percentile(values, (1.0, 99.0))
    if high - low < 1e-4:
        return np.full(values.shape, 0.5, np.float32)
    return np.clip((values - low) / (high - low), 0.0, 1.0).astype(np.float32)
