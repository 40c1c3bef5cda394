"""Methods without a model: what a result must beat to be worth anything. They always run."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from evaluation.cases import Case
from evaluation.method import BACKGROUND, FOREGROUND, Layers, MethodRecipe
from evaluation.regions import distance_px

VERSION = 1
"""To be raised whenever one of them would give another picture."""
INPAINT_RADIUS_PX = 3
GROWN_PX = 2
"""Growth of the mask of `telea_grown`: with masks that miss a part of the object this value is best for Telea."""


@dataclass(frozen=True)
class PerImage:
    """A function of one case as a method."""

    name: str
    gives: frozenset[str]
    function: Callable[[Case], Layers]

    def __call__(self, case: Case) -> Layers:
        """See `Method`."""
        return self.function(case)

    def made(self) -> "PerImage":
        """Returns itself: there is nothing to load."""
        return self


def classical_methods() -> list[PerImage]:
    """`input`, `given_mask`, `telea`, `telea_grown` and `navier_stokes`."""
    background, foreground = frozenset([BACKGROUND]), frozenset([FOREGROUND])
    return [
        PerImage("input", background, lambda case: Layers(background=case.composite)),
        PerImage("given_mask", foreground, _given_mask),
        PerImage("telea", background, lambda case: _inpainted(case, cv2.INPAINT_TELEA)),
        PerImage("telea_grown", background, lambda case: _inpainted(case, cv2.INPAINT_TELEA, GROWN_PX)),
        PerImage("navier_stokes", background, lambda case: _inpainted(case, cv2.INPAINT_NS)),
    ]


def classical_recipes() -> list[MethodRecipe]:
    """The same, as they are recorded."""
    settings = {"version": VERSION, "opencv": cv2.__version__}
    return [MethodRecipe(found.name, found.gives, found.made, settings=settings) for found in classical_methods()]


def _given_mask(case: Case) -> Layers:
    """The composite with the given mask as alpha: what a simple cut-out tool does."""
    return Layers(foreground=np.dstack([case.composite, case.mask.astype(np.uint8) * 255]))


def _inpainted(case: Case, algorithm: int, grow_px: int = 0) -> Layers:
    mask = distance_px(case.mask) <= grow_px
    filled = cv2.inpaint(case.composite, mask.astype(np.uint8), INPAINT_RADIUS_PX, algorithm)
    return Layers(background=np.asarray(filled, np.uint8))
