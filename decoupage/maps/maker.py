"""What a kind of map is: composites in, one PNG each out.

Every maker takes a list of pictures, so that a net on a GPU can work on a batch; the classical ones go through
the list one by one. Which picture belongs to which scene is the business of `stage.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from decoupage.fingerprint import Recipe
from decoupage.images.types import Rgb


class Model(Protocol):
    """What maps are made with. Picklable: weights load on first use, not in the constructor."""

    @property
    def recipe(self) -> Recipe:
        """Everything that decides a map, beside the picture and what `inputs` hashes."""
        ...

    @property
    def weights(self) -> str:
        """Hub id of its weights, by which their licence is known; empty when it has none."""
        ...

    @property
    def batch_size(self) -> int:
        """How many pictures it is to be given at once."""
        ...

    @property
    def in_process(self) -> bool:
        """True when its weights are loaded into this process, once for all shards of a run."""
        ...

    @property
    def stands_in_for(self) -> str:
        """The model in whose place it is used; empty where it stands for itself."""
        ...

    def inputs(self) -> dict[str, str]:
        """Hashes of the files that it reads. Raises BadSetup when they are not there or do not fit."""
        ...


class MapMaker(Model, Protocol):
    """Makes one kind of map."""

    @property
    def name(self) -> str:
        """`edges`, `segmentation` or `depth`: the stage's name and the member's suffix."""
        ...

    def pngs(self, pictures_HWC: Sequence[Rgb]) -> list[bytes]:
        """One PNG for each [H, W, 3] picture, in order; pictures may differ in size."""
        ...


class Classical:
    """What every `Model` without weights says: one picture at a time, in any process."""

    weights = ""
    stands_in_for = ""
    batch_size = 1
    in_process = False

    def inputs(self) -> dict[str, str]:
        """No files."""
        return {}


class ModelMaps(ABC):
    """A maker of maps says of itself what its model says."""

    @property
    @abstractmethod
    def model(self) -> Model:
        """What maps are made with."""

    @property
    def recipe(self) -> Recipe:
        """Of the model."""
        return self.model.recipe

    @property
    def weights(self) -> str:
        """Hub id of the model's weights."""
        return self.model.weights

    @property
    def stands_in_for(self) -> str:
        """The model in whose place the model is used."""
        return self.model.stands_in_for

    @property
    def batch_size(self) -> int:
        """How many pictures the model is to be given at once."""
        return self.model.batch_size

    @property
    def in_process(self) -> bool:
        """Of the model."""
        return self.model.in_process

    def inputs(self) -> dict[str, str]:
        """Of the model."""
        return self.model.inputs()


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
