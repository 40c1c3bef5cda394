"""Recolouring of whole samples: with as few photographs as in the demo, a model would otherwise learn their colours.

Composite, background and foreground change alike, so they still fit together: the change is linear in straight colour,
and so is laying layers over one another. Maps stay as they are: they show where things are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from decoupage.randomness import generator

_LEAST_GAIN = 0.6


@dataclass(frozen=True)
class Recolouring:
    """Channels in another order, then all values times `gain` plus `offset`, which leaves [-1, 1] in [-1, 1]."""

    order: tuple[int, int, int]
    gain: float
    offset: float

    def rgb(self, picture_3HW: Tensor) -> Tensor:
        """Recolour a picture [3, H, W] in [-1, 1]."""
        return picture_3HW[list(self.order)] * self.gain + self.offset

    def rgba(self, picture_4HW: Tensor) -> Tensor:
        """Recolour straight colour with alpha, [4, H, W]; mid-gray under alpha -1 stays mid-gray."""
        colour_3HW, alpha_1HW = self.rgb(picture_4HW[:3]), picture_4HW[3:]
        return torch.cat([torch.where(alpha_1HW > -1.0, colour_3HW, 0.0), alpha_1HW])


def draw_recolouring(seed: int, epoch: int, key: str, layer: int, share: float) -> Recolouring | None:
    """The recolouring of a triplet in an epoch; None = none. `share` is the share of triplets that are recoloured."""
    rng = generator(seed, "training.recolour", f"{epoch}/{key}/{layer}")
    if rng.random() >= share:
        return None
    red, green, blue = (int(channel) for channel in rng.permutation(3))
    gain = rng.uniform(_LEAST_GAIN, 1.0)
    return Recolouring((red, green, blue), gain, float(rng.uniform(-1.0, 1.0)) * (1.0 - gain))
