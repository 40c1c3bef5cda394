"""Where something lies in front of an object: decided from the picture, the object's layer and its mask, in one way.

What shows is what the mask says. Outside of it a completed object may still be what the picture shows, because the mask
missed a part; then its layer looks like the picture. Where it does not, something covers it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Gray, Mask, Rgb

CHANGED_LEVELS, CLEARLY_LEVELS, EDGE_PX = 8, 32, 4
"""Outside the masks, a layer that changes the input by more than the first hides what covers it there, if in the same
patch the change is more than the second somewhere farther than `EDGE_PX` from the mask; nearer it may be the object's
own edge, which mask and layer draw a little differently. Levels of 255, the largest of the channels; all three ours."""
EDGE_WORKED_PX = 2
"""Of a layer that was made smaller and enlarged, the edge is taken to be this many of its own pixels wide."""


def covered_pixels(picture: Rgb, laid: Rgb, alpha: Gray, shows: Mask, enlarged: float = 1.0) -> Mask:
    """[H, W]: where the picture shows something else, in front of the object.

    What is thinner than twice `EDGE_PX` is not distinguished from the object's own edge.

    Args:
        picture: the input, [H, W, 3].
        laid: the same place with the object's layer on top, [H, W, 3].
        alpha: the object's, [H, W].
        shows: [H, W], the mask.
        enlarged: how many times larger the layer was made. It lacks the picture's detail, so means over as many
            pixels are compared, and lines where both happen to agree are closed; its edge is blurred all around, so
            what changes there counts only up to twice as far from a clear place as the edge is wide.
    """
    edge_px = max(EDGE_PX, EDGE_WORKED_PX * enlarged)
    window_px = 2 * round(enlarged) + 1 if enlarged > 1 else 1
    change = cv2.absdiff(_averaged(laid, window_px), _averaged(picture, window_px)).max(axis=-1)
    visible = (alpha > 0) & ~shows
    changed = visible & (change > CHANGED_LEVELS)
    patch = cv2.connectedComponents(changed.astype(np.uint8), connectivity=8)[1]
    beyond = _distance(shows) > edge_px
    clearly = changed & beyond & (change > CLEARLY_LEVELS)
    covered = changed & np.isin(patch, patch[clearly])
    if enlarged <= 1:
        return np.asarray(covered)
    covered &= beyond | (_distance(clearly) <= 2 * edge_px)
    closed = cv2.morphologyEx(covered.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((window_px, window_px), np.uint8))
    return np.asarray(visible & (closed > 0))


def _distance(mask: Mask) -> NDArray[np.float32]:
    """[H, W], px to the mask; without any pixel in it, farther than any."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def _averaged(picture: Rgb, window_px: int) -> Rgb:
    return np.asarray(cv2.blur(picture, (window_px, window_px), borderType=cv2.BORDER_REPLICATE), np.uint8)
