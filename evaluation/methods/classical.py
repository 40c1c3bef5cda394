"""Methods without a model: what a result must beat to be worth anything. They always run."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from evaluation.cases import Case
from evaluation.methods.spec import BACKGROUND, FOREGROUND, Layers, Method
from evaluation.regions import distance_px

INPAINT_RADIUS_PX = 3
GROWN_PX = 2
"""By so much the mask of `telea_grown` is grown: with masks that miss a part of the object it is Telea's best."""


class PerImage:
    """A function of one case as a method."""

    def __init__(self, name: str, gives: str, function: Callable[[Case], Layers]) -> None:
        self.name, self.gives, self._function = name, frozenset([gives]), function

    def __call__(self, cases: Sequence[Case]) -> Sequence[Layers]:
        """See `Method`."""
        return [self._function(case) for case in cases]


def classical_methods() -> list[Method]:
    """`input`, `given_mask`, `telea`, `telea_grown` and `navier_stokes`."""
    return [
        PerImage("input", BACKGROUND, lambda case: Layers(background=case.composite)),
        PerImage("given_mask", FOREGROUND, _given_mask),
        PerImage("telea", BACKGROUND, lambda case: _inpainted(case, cv2.INPAINT_TELEA)),
        PerImage("telea_grown", BACKGROUND, lambda case: _inpainted(case, cv2.INPAINT_TELEA, GROWN_PX)),
        PerImage("navier_stokes", BACKGROUND, lambda case: _inpainted(case, cv2.INPAINT_NS)),
    ]


def _given_mask(case: Case) -> Layers:
    """The composite with the given mask as alpha: what a cut-out tool does that knows nothing."""
    return Layers(foreground=np.dstack([case.composite, case.mask.astype(np.uint8) * 255]))


def _inpainted(case: Case, algorithm: int, grow_px: int = 0) -> Layers:
    mask = distance_px(case.mask) <= grow_px
    filled = cv2.inpaint(case.composite, mask.astype(np.uint8), INPAINT_RADIUS_PX, algorithm)
    return Layers(background=np.asarray(filled, np.uint8))
