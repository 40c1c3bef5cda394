"""Words for how hard a case is, so that scores can be grouped by them. Every test set uses the same bounds."""

import cv2

from decoupage.images.types import Rgb
from decoupage.maps.maker import shrink

OCCLUSION_BOUNDS = (("none", 0.02), ("light", 0.20), ("medium", 0.45))
"""Occluded fraction; above the last one it is `heavy`."""
SIZE_BOUNDS = (("small", 0.08), ("medium", 0.20))
"""Share of the picture that the target covers, as scenes are drawn; above the last one it is `large`."""
CLUTTER_BOUNDS = (("plain", 0.09), ("busy", 0.14))
"""Share of edge pixels; above the last one it is `cluttered`."""
CLUTTER_SIDE_PX = 64
"""Edges are counted at this size, so that a picture is as cluttered at 64 px as at 1024."""
CLUTTER_CANNY = (100, 200)


def occlusion_of(fraction: float) -> str:
    """`none`, `light`, `medium` or `heavy`, by the share of the target that is hidden."""
    return next((name for name, bound in OCCLUSION_BOUNDS if fraction < bound), "heavy")


def size_of(share: float) -> str:
    """`small`, `medium` or `large`, by the share of the picture that the target covers."""
    return next((name for name, bound in SIZE_BOUNDS if share < bound), "large")


def clutter_of(composite: Rgb) -> str:
    """`plain`, `busy` or `cluttered`, by the share of Canny's edges in the whole picture."""
    gray = cv2.cvtColor(shrink(composite, CLUTTER_SIDE_PX), cv2.COLOR_RGB2GRAY)
    share = float((cv2.Canny(gray, *CLUTTER_CANNY) > 0).mean())
    return next((name for name, bound in CLUTTER_BOUNDS if share < bound), "cluttered")
