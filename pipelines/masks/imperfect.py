"""Draws a mask error by the profile's weights, and measures how far it went."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from decoupage.images.types import Mask
from pipelines.config import MasksConfig
from pipelines.masks.errors import blob, boundary, box, dilation, erosion, hole, missing_part, polygon, shift
from pipelines.scenes.parts import mask_iou

MaskError = Callable[[Mask, int, np.random.Generator], Mask]
"""(mask, reach_px, rng) -> mask of the same shape; may be empty; `reach_px` >= 0 as `MasksConfig` explains it."""


def none(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The mask as it is."""
    return mask


ERRORS: dict[str, MaskError] = {
    error.__name__: error
    for error in (none, dilation, erosion, boundary, polygon, box, hole, missing_part, blob, shift)
}
"""Every kind by its name, which is also its field in `MasksConfig`."""


@dataclass(frozen=True)
class ImperfectMask:
    """A mask as a person or a detector might give it.

    Attributes:
        mask: [H, W] bool, never empty.
        error: the kind, a key of `ERRORS`; `none` exactly where the mask equals the visible mask.
        iou: intersection over union with the visible mask.
        reach_px: how far the error may go, as drawn from the profile.
    """

    mask: Mask
    error: str
    iou: float
    reach_px: int


def imperfect_mask(visible: Mask, config: MasksConfig, rng: np.random.Generator) -> ImperfectMask:
    """Make a visible mask imperfect.

    A result that is empty, whose IoU is below `config.min_iou`, or that an error left unchanged (the box of a box) is
    drawn again, kind included; after `config.max_attempts` draws the mask is left as it is.

    Raises:
        ValueError: the visible mask has no pixels.
    """
    left, top, width, height = cv2.boundingRect(visible.view(np.uint8))
    if not width:
        raise ValueError(f"imperfect_mask needs a mask with pixels, got an empty one of shape {visible.shape}")
    kinds = list(ERRORS)
    thresholds = np.cumsum([getattr(config, kind).weight for kind in kinds])
    for _ in range(config.max_attempts):
        kind = kinds[int(np.searchsorted(thresholds, rng.uniform(0.0, thresholds[-1]), side="right"))]
        low, high = getattr(config, kind).reach_px
        reach_px = int(rng.integers(low, high, endpoint=True))
        # All work is done near the object: twice the reach is further than any error goes.
        margin = 2 * reach_px + 2
        rows = slice(max(0, top - margin), top + height + margin)
        columns = slice(max(0, left - margin), left + width + margin)
        near = np.ascontiguousarray(visible[rows, columns])
        worse = ERRORS[kind](near, reach_px, rng)
        iou = mask_iou(near, worse)
        if iou >= config.min_iou and worse.any() and (iou < 1.0 or kind == "none"):
            mask = np.zeros_like(visible)
            mask[rows, columns] = worse
            return ImperfectMask(mask, kind, iou, reach_px)
    return ImperfectMask(visible.copy(), "none", 1.0, 0)
