"""Draws a mask error by the profile's weights, and measures how far it went."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from decoupage.images.types import Mask
from pipelines.config import MasksConfig
from pipelines.masks.area_errors import AREA_ERRORS, MARGINS, View
from pipelines.masks.errors import blob, boundary, box, dilation, erosion, hole, missing_part, polygon, shift
from pipelines.scenes.parts import SceneParts, area_ratio, mask_iou

OutlineError = Callable[[Mask, int, np.random.Generator], Mask]
"""(mask, reach_px, rng) -> mask of the same shape; may be empty; `reach_px` >= 0 as `MasksConfig` explains it."""


def none(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The mask as it is."""
    return mask


OUTLINE_ERRORS: dict[str, OutlineError] = {
    error.__name__: error
    for error in (none, dilation, erosion, boundary, polygon, box, hole, missing_part, blob, shift)
}
"""Each by its name, which is also its field in `MasksConfig`."""
KINDS = (*OUTLINE_ERRORS, *AREA_ERRORS)


@dataclass(frozen=True)
class ImperfectMask:
    """A mask as a person or a segmenter might give it.

    Attributes:
        mask: [H, W] bool, never empty.
        error: the kind, one of `KINDS`; `none` exactly where the mask equals the visible mask.
        iou: intersection over union with the visible mask.
        area_ratio: area of the mask / area of the visible mask.
        drawn: the `reach_px` or `area_ratio` that was drawn from the profile's range.
    """

    mask: Mask
    error: str
    iou: float
    area_ratio: float
    drawn: float


def imperfect_mask(parts: SceneParts, layer: int, config: MasksConfig, rng: np.random.Generator) -> ImperfectMask:
    """Make the visible mask of a scene's layer imperfect.

    A result that is empty, that `config.allows` refuses, or unchanged by the error (the box of a box) is drawn again,
    kind included; after `config.max_attempts` draws the mask is left as it is.

    Raises:
        ValueError: the layer shows nowhere.
    """
    visible = parts.visible_mask(layer)
    left, top, width, height = cv2.boundingRect(visible.view(np.uint8))
    if not width:
        raise ValueError(f"imperfect_mask needs a layer that shows, got layer {layer} of scene {parts.key}")
    thresholds = np.cumsum([getattr(config, kind).weight for kind in KINDS])
    for _ in range(config.max_attempts):
        kind = KINDS[int(np.searchsorted(thresholds, rng.uniform(0.0, thresholds[-1]), side="right"))]
        # All work is done near the object, no nearer than an error may go.
        drawn: float
        if kind in OUTLINE_ERRORS:
            least_px, most_px = getattr(config, kind).reach_px
            drawn = float(rng.integers(least_px, most_px, endpoint=True))
            margin = 2 * round(drawn) + 2
        else:
            drawn = float(rng.uniform(*getattr(config, kind).area_ratio))
            margin = round(MARGINS[kind] * max(width, height)) + 2
        rows = slice(max(0, top - margin), top + height + margin)
        columns = slice(max(0, left - margin), left + width + margin)
        near = np.ascontiguousarray(visible[rows, columns])
        if kind in OUTLINE_ERRORS:
            worse = OUTLINE_ERRORS[kind](near, round(drawn), rng)
        else:
            worse = AREA_ERRORS[kind](View(parts, layer, near, (rows, columns)), drawn, rng)
        iou, ratio = mask_iou(near, worse), area_ratio(worse, near)
        if worse.any() and config.allows(kind, iou, ratio) and (iou < 1.0 or kind == "none"):
            mask = np.zeros_like(visible)
            mask[rows, columns] = worse
            return ImperfectMask(mask, kind, iou, ratio, drawn)
    return ImperfectMask(visible.copy(), "none", 1.0, 1.0, 0)
