"""The colours of a foreground at the picture's own size: the picture's own wherever the object shows.

The adapter's colours went through a codec at the model's size, so they are kept only where there is nothing better:
where the object was hidden. Where the object shows alone (alpha 1) its colour is the picture's, bit for bit. At a mixed
pixel the picture is `alpha * colour + (1 - alpha) * background`. Solved for the colour, errors of alpha and background
are divided by alpha, so the colour is drawn towards that of the object nearby: blur fusion (Forte, Approximate Fast
Foreground Colour Estimation, ICIP 2021) with the background that is known here, and with a ridge in the place of its
step, so that what is nearly opaque recomposes to the picture.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Mask

RIDGE = 0.05
"""Weight of the colour nearby against alpha squared, the weight of the mixture."""
REACH_PX, REACH_WORKED_PX = 2, 0.5
"""How far "nearby" is: this many of the picture's pixels, or of the model's where these are more. Both and the ridge
were chosen by the colour of mixed pixels over another background (benchmarks/RESULTS.md)."""
_SPARSE = np.float32(1e-3)
"""Weight of the adapter's colour, against the share of opaque pixels nearby: it counts only where there are none."""


def own_colours(
    rgba_HW4: NDArray[np.float32],
    picture_HW3: NDArray[np.float32],
    background_HW3: NDArray[np.float32],
    shows_HW: Mask,
    enlarged: float = 1.0,
) -> NDArray[np.float32]:
    """A foreground with the picture's colours where it shows; alpha, and all else, as it was.

    Args:
        rgba_HW4: straight alpha, in [0, 1], with the adapter's colours.
        picture_HW3: what the foreground was taken from, in [0, 1].
        background_HW3: what lies behind it, in [0, 1].
        shows_HW: where the picture shows this object.
        enlarged: how many times larger the alpha was made.
    """
    found = rgba_HW4.copy()
    rows, columns = (np.flatnonzero((rgba_HW4[..., 3] > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return found
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    rgba, picture, background = (each[box] for each in (rgba_HW4, picture_HW3, background_HW3))
    shows = shows_HW[box]
    alpha, colour = rgba[..., 3:], rgba[..., :3]
    alone = (shows & (alpha[..., 0] >= 1))[..., None]
    reach_px = max(REACH_PX, round(REACH_WORKED_PX * enlarged))
    window = (2 * reach_px + 1, 2 * reach_px + 1)
    share = cv2.blur(alone.astype(np.float32), window)[..., None]
    near = (cv2.blur(picture * alone, window) + _SPARSE * colour) / (share + _SPARSE)
    missing = picture - alpha * near - (1 - alpha) * background
    mixed = (near + missing * alpha / (alpha**2 + np.float32(RIDGE))).clip(0, 1)
    found[box][..., :3] = np.where(alone, picture, np.where(shows[..., None], mixed, colour))
    return found
