"""What a kind of map is: composites in, one PNG each out.

Every maker takes a list of pictures, so that a net on a GPU can work on a batch; the classical ones go through
the list one by one. Which picture belongs to which scene is the business of `stage.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from decoupage.fingerprint import Recipe
from decoupage.images.types import Rgb


class MapMaker(ABC):
    """Makes one kind of map. Picklable: weights load on first use, not in the constructor.

    What is not overridden holds for makers without weights: one picture at a time, in any process.

    Attributes:
        name: `edges`, `segmentation` or `depth`: the stage's name and the member's suffix.
        model: name of what makes the maps, as recipes and reports show it.
        stands_in_for: the model in whose place it is used; empty where it stands for itself.
        in_process: True when its weights are loaded into this process, once for all shards of a run.
    """

    name: ClassVar[str]
    model: ClassVar[str]
    stands_in_for: ClassVar[str] = ""
    in_process: ClassVar[bool] = False

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """Everything that decides a map, besides the picture and what `inputs` hashes."""

    @property
    def weights(self) -> str:
        """Hub id of its weights, by which their licence is known; empty when it has none."""
        return ""

    @property
    def batch_size(self) -> int:
        """How many pictures it is to be given at once."""
        return 1

    def inputs(self) -> dict[str, str]:
        """Hashes of the files that it reads. Raises BadSetup when they are not there or do not fit."""
        return {}

    @abstractmethod
    def pngs(self, pictures_HWC: Sequence[Rgb]) -> list[bytes]:
        """One PNG for each [H, W, 3] picture, in order; pictures may differ in size."""


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
