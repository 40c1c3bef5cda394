"""The contact shadow of what stands: a soft flat ellipse of black around its foot.

Only the darkening where an object touches its support; no light is estimated, so nothing falls to one side.
"""

import numpy as np

from decoupage.images.alpha import alpha_box
from decoupage.images.types import Gray
from pipelines.scenes.parts import Shadow
from pipelines.scenes.terrain import anchor, base

CASTING = ("ground", "surface")
"""Supports that show a shadow; water reflects instead."""
_OPACITY = 0.5
"""Opacity at the foot of what is opaque; of the rest in proportion. Ours, as is the flatness."""
_FLATNESS = 5.0
"""Width / height: a circle on the ground as a standing person sees it from some metres away."""


def contact_shadow(alpha: Gray, box: tuple[int, int, int, int], size_px: int) -> Shadow | None:
    """A Gaussian around the middle of a layer's lowest rows, down to exp(-1) of its peak at their ends.

    Args:
        alpha: of the layer, [h, w], cropped to its box on a canvas of size_px, with its foot on it.

    Returns:
        None where so little shows of the layer that its shadow rounds to nothing.
    """
    touching = base(alpha) > 0
    columns = np.flatnonzero(touching.any(axis=0))
    row, column = anchor(alpha, "ground")
    half_width_px = (columns[-1] - columns[0] + 1) / 2
    half_height_px = max(1.0, half_width_px / _FLATNESS)
    x = (np.arange(size_px) - box[0] - column) / half_width_px
    y = (np.arange(size_px) - box[1] - row) / half_height_px
    strength = _OPACITY * float(alpha[touching].mean())
    opacity = np.rint(strength * np.outer(np.exp(-(y**2)), np.exp(-(x**2)))).astype(np.uint8)
    if not opacity.any():
        return None
    left, top, right, bottom = tight = alpha_box(opacity)
    return Shadow(np.ascontiguousarray(opacity[top:bottom, left:right]), tight)
