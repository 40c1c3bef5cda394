"""Other colours for a whole sample: so few photographs as a demo has would otherwise teach their colours, too.

Composite, background and foreground change alike, so they still fit together: the change is linear in straight colour,
and laying layers over one another is, too. Maps stay: they tell where things are.
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
        """A picture in [-1, 1], recoloured."""
        return picture_3HW[list(self.order)] * self.gain + self.offset

    def rgba(self, picture_4HW: Tensor) -> Tensor:
        """The same for straight colour with alpha; mid-gray under alpha -1 stays mid-gray."""
        colour_3HW, alpha_1HW = self.rgb(picture_4HW[:3]), picture_4HW[3:]
        return torch.cat([torch.where(alpha_1HW > -1.0, colour_3HW, 0.0), alpha_1HW])


def draw_recolouring(seed: int, epoch: int, key: str, share: float) -> Recolouring | None:
    """What a scene looks like in an epoch; None = as it is, which `share` says how seldom."""
    rng = generator(seed, "training.recolour", f"{epoch}/{key}")
    if rng.random() >= share:
        return None
    red, green, blue = (int(channel) for channel in rng.permutation(3))
    gain = rng.uniform(_LEAST_GAIN, 1.0)
    return Recolouring((red, green, blue), gain, float(rng.uniform(-1.0, 1.0)) * (1.0 - gain))
