"""From what a model gives at its own size to a foreground at the picture's: alpha guided by it, colours its own.

One way for the pipeline, and so for evaluation, calibration and every command, whether or not pixels are pasted back.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decoupage.colours import own_colours
from decoupage.covers import covered_pixels
from decoupage.images.alpha import blend
from decoupage.images.forms import to_uint8
from decoupage.images.guided import enlarge_alpha
from decoupage.images.sizes import Geometry
from decoupage.images.types import Array, Mask
from decoupage.preparation import Prepared, undo
from decoupage.rgba_values import clean_alpha

GUIDED_PX = 2
"""How far outside its mask, in pixels of the model, an object's outline is still looked for in the picture."""


def own_foreground(
    rgba_B4HW: Tensor,
    prepared: Prepared,
    picture_B3HW: Tensor,
    background_B3HW: Tensor,
    mask_B1HW: Tensor,
    alpha_levels: tuple[float, float],
) -> Tensor:
    """[B, 4, H, W] in [0, 1], straight alpha, at the picture's size.

    Args:
        rgba_B4HW: the decoded foreground on the model's canvas.
        prepared: what the model was given.
        picture_B3HW: what that was made of.
        background_B3HW: the scene without the object, at the picture's size; outside the mask the picture itself.
        mask_B1HW: where the object was said to show, 0 or 1.
        alpha_levels: see `AdapterConfig`.
    """
    geometry = prepared.geometry
    found_B4HW = undo(rgba_B4HW, geometry)
    if enlargement(geometry) > 1:
        for i, picture_3HW in enumerate(picture_B3HW):
            found_B4HW[i, 3] = torch.from_numpy(
                guided_alpha(
                    rgba_B4HW[i, 3].float().cpu().numpy(),
                    _channels_last(prepared.picture_B3HW[i]) * np.float32(0.5) + np.float32(0.5),
                    prepared.kept_B1HW[i, 0].numpy() > 0,
                    _channels_last(picture_3HW),
                    geometry,
                )
            )
    found_B4HW = clean_alpha(found_B4HW, *alpha_levels)
    for i, mask_1HW in enumerate(mask_B1HW):
        layer, picture, background = (_channels_last(each[i]) for each in (found_B4HW, picture_B3HW, background_B3HW))
        coloured_HW4 = _coloured(layer, picture, background, mask_1HW[0].numpy() > 0, enlargement(geometry))
        found_B4HW[i] = torch.from_numpy(coloured_HW4).permute(2, 0, 1)
    return found_B4HW


def enlargement(geometry: Geometry) -> float:
    """How many times larger than what the model sees the picture is; 1 where it is not larger."""
    return max(1.0, max(geometry.input_px) / max(geometry.content_px))


def guided_alpha(
    alpha_hw: NDArray[np.float32], seen_hw3: Array, kept_hw: Mask, picture_HW3: Array, geometry: Geometry
) -> NDArray[np.float32]:
    """Alpha at the picture's size. The picture is its guide only about the mask: elsewhere it shows something else.

    Args:
        alpha_hw, seen_hw3, kept_hw: alpha, picture in [0, 1] and mask on the canvas.
        picture_HW3: the picture at its own size.
    """
    rows, columns = (slice(side) for side in geometry.content_px)
    side = 2 * GUIDED_PX + 1
    about = cv2.dilate(kept_hw.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return enlarge_alpha(alpha_hw[rows, columns], seen_hw3[rows, columns], picture_HW3, about[rows, columns])


def _coloured(
    rgba_HW4: Array, picture_HW3: Array, background_HW3: Array, mask_HW: Mask, enlarged: float
) -> NDArray[np.float32]:
    """The layer with the picture's colours: where its mask is, and where it looks like the picture besides."""
    picture, background, rgba = (
        to_uint8(torch.from_numpy(each).permute(2, 0, 1)[None])[0] for each in (picture_HW3, background_HW3, rgba_HW4)
    )
    shows = ~covered_pixels(picture, blend(background, rgba), rgba[..., 3], mask_HW, enlarged)
    return own_colours(rgba_HW4, picture_HW3, background_HW3, shows, enlarged)


def _channels_last(picture_CHW: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(picture_CHW.float().cpu().permute(1, 2, 0).numpy())
