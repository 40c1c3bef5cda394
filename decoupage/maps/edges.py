"""Edge maps: Canny on the gray composite, at full size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2

from decoupage.fingerprint import Recipe
from decoupage.images.codecs import encode_mask
from decoupage.images.types import Mask, Rgb
from decoupage.maps.config import EdgesConfig
from decoupage.maps.maker import MapMaker


@dataclass(frozen=True)
class CannyEdges(MapMaker):
    """A `MapMaker`; its PNGs are 1-bit and as large as the picture."""

    name: ClassVar[str] = "edges"
    model: ClassVar[str] = "canny"
    config: EdgesConfig

    @property
    def recipe(self) -> Recipe:
        """Thresholds of the hysteresis."""
        return {"model": self.model, "low": self.config.low, "high": self.config.high}

    def edges(self, rgb_HWC: Rgb) -> Mask:
        """[H, W], True on edges. Integer arithmetic: the same on every machine."""
        # One gray channel costs a third of three and finds the same outlines of things.
        gray = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY)
        return cv2.Canny(gray, self.config.low, self.config.high) > 0

    def pngs(self, pictures_HWC: Sequence[Rgb]) -> list[bytes]:
        """See `MapMaker`."""
        return [encode_mask(self.edges(rgb)) for rgb in pictures_HWC]
