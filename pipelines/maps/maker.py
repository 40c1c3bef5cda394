"""What a kind of map is: composites in, one PNG each out.

Every maker takes a list of pictures, so that a net on a GPU can work on a batch; the classical ones go through
the list one by one. Which picture belongs to which scene is the business of `stage.py`.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from pipelines.fingerprint import Recipe
from pipelines.images.types import Rgb


class MapMaker(Protocol):
    """Makes one kind of map. Picklable: models load on first use, not in the constructor."""

    @property
    def name(self) -> str:
        """`edges`, `segmentation` or `depth`: the stage's name and the member's suffix."""
        ...

    @property
    def recipe(self) -> Recipe:
        """Everything that decides the bytes, beside the picture."""
        ...

    def pngs(self, pictures_HWC: Sequence[Rgb]) -> list[bytes]:
        """One PNG for each [H, W, 3] picture, in order; pictures may differ in size."""
        ...


def shrink(rgb_HWC: Rgb, side_px: int) -> Rgb:
    """Reduce a picture so that its longer side is `side_px`; smaller ones are returned as they are.

    Pillow's fixed-point resampling gives the same bytes on every processor.
    """
    height, width = rgb_HWC.shape[:2]
    if max(height, width) <= side_px:
        return rgb_HWC
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(rgb_HWC).resize(size, Resampling.BILINEAR))
