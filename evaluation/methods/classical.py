"""Methods without a model: what a result must beat to be worth anything. They always run."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import cv2
import numpy as np

from decoupage.images.grabcut import refined_mask
from decoupage.images.types import Gray, Mask, Rgb
from evaluation.cases import Case
from evaluation.method import BACKGROUND, FOREGROUND, Layers, MethodRecipe
from evaluation.methods.fills import biharmonic, harmonic
from evaluation.regions import distance_px

VERSION = 2
"""To be raised whenever one of them would give another picture."""
INPAINT_RADIUS_PX = 3
GROWN_PX = 2
"""Growth of the mask of `telea_grown`, `smooth_grown` and `grabcut`, for masks that miss a part of the object."""
Fill = Callable[[Rgb, Mask], Rgb]
"""(picture [H, W, 3], hole [H, W]) -> the picture with the hole filled."""


@dataclass(frozen=True)
class PerImage:
    """A function of one case as a method."""

    name: str
    gives: frozenset[str]
    function: Callable[[Case], Layers]
    library: str = ""
    """Distribution that computes it, besides OpenCV."""

    def __call__(self, case: Case) -> Layers:
        """See `Method`."""
        return self.function(case)

    def made(self) -> "PerImage":
        """Returns itself: there is nothing to load."""
        return self


def classical_methods() -> list[PerImage]:
    """`input`, `given_mask`, and the fills of `evaluation.rivals`."""
    background, foreground = frozenset([BACKGROUND]), frozenset([FOREGROUND])

    def fill(name: str, function: Fill, grow_px: int = 0, library: str = "") -> PerImage:
        return PerImage(name, background, lambda case: _filled(case, function, grow_px), library)

    return [
        PerImage("input", background, lambda case: Layers(background=case.composite)),
        PerImage("given_mask", foreground, _given_mask),
        fill("telea", _telea),
        fill("telea_grown", _telea, GROWN_PX),
        fill("navier_stokes", _navier_stokes),
        fill("smooth", harmonic, library="scipy"),
        fill("smooth_grown", harmonic, GROWN_PX, "scipy"),
        fill("biharmonic", biharmonic, library="scikit-image"),
        PerImage("grabcut", background | foreground, _grabcut, "scipy"),
    ]


def classical_recipes() -> list[MethodRecipe]:
    """The same, as they are recorded."""
    recipes = []
    for found in classical_methods():
        libraries = {found.library: version(found.library)} if found.library else {}
        settings = {"version": VERSION, "opencv": cv2.__version__, **libraries}
        recipes.append(MethodRecipe(found.name, found.gives, found.made, settings=settings))
    return recipes


def _given_mask(case: Case) -> Layers:
    """The composite with the given mask as alpha: what a simple cut-out tool does."""
    return Layers(foreground=np.dstack([case.composite, case.mask.astype(np.uint8) * 255]))


def _grabcut(case: Case) -> Layers:
    """The given mask drawn to outlines, the cutout under it, and what it leaves, grown and filled smoothly."""
    mask = refined_mask(case.composite, case.mask)
    hole = distance_px(mask) <= GROWN_PX
    background, foreground = harmonic(case.composite, hole), np.dstack([case.composite, mask.astype(np.uint8) * 255])
    return Layers(background, foreground, _as_it_is(case))


def _filled(case: Case, fill: Fill, grow_px: int) -> Layers:
    return Layers(fill(case.composite, distance_px(case.mask) <= grow_px), opacity=_as_it_is(case))


def _as_it_is(case: Case) -> Gray:
    """Opacity of a background that is the composite's already where nothing was filled."""
    return np.full(case.size, 255, np.uint8)


def _telea(rgb: Rgb, hole: Mask) -> Rgb:
    return np.asarray(cv2.inpaint(rgb, hole.astype(np.uint8), INPAINT_RADIUS_PX, cv2.INPAINT_TELEA), np.uint8)


def _navier_stokes(rgb: Rgb, hole: Mask) -> Rgb:
    return np.asarray(cv2.inpaint(rgb, hole.astype(np.uint8), INPAINT_RADIUS_PX, cv2.INPAINT_NS), np.uint8)
