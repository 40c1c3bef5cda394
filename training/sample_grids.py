"""Pictures of samples for a person who watches a run: a row for each sample, a named column for each view of it.

Here: what is shown, in which order, at which size. `decoupage.images.contact_sheet` draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from decoupage.images.alpha import blend
from decoupage.images.contact_sheet import Tile, draw_sheet
from decoupage.images.forms import to_uint8
from decoupage.images.types import Array, Mask, Rgb

SHOWN_PX = 192
"""Side of a shown picture: small ones are enlarged by a whole factor up to it, larger ones shown up to twice it."""


@dataclass(frozen=True)
class Column:
    """One view of all samples.

    Attributes:
        name: the caption.
        pictures_BHWC: uint8 with 1 (gray), 3 or 4 channels; straight alpha shows over a checkerboard.
        mask_BHW: drawn over the pictures as an outline with a light tint; None = none.
    """

    name: str
    pictures_BHWC: NDArray[np.uint8]
    mask_BHW: Mask | None = None


def sample_grid(columns: Sequence[Column]) -> Rgb:
    """One picture [H, W, 3] of columns side by side.

    Small pictures are enlarged by a whole factor without smoothing, so that a person sees the pixels there are.

    Raises:
        ValueError: columns differ in number of samples or in size, or there are none.
    """
    shapes = {column.name: column.pictures_BHWC.shape[:3] for column in columns}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"columns must be of the same samples at one size, got {shapes or 'none'}")
    num_samples, height_px, width_px = next(iter(shapes.values()))
    factor = max(1, SHOWN_PX // max(height_px, width_px))
    tile_px = min(factor * max(height_px, width_px), 2 * SHOWN_PX)
    tiles = [_tile(column, i, factor) for i in range(num_samples) for column in columns]
    return draw_sheet(tiles, len(columns), tile_px)


def layers_grid(
    composite_BHWC: NDArray[np.uint8],
    mask_BHW: Mask,
    background_BHWC: NDArray[np.uint8],
    foreground_BHWC: NDArray[np.uint8],
    true_background_BHWC: NDArray[np.uint8],
    true_foreground_BHWC: NDArray[np.uint8],
) -> Rgb:
    """One picture [H, W, 3] of decompositions beside the truth, and recomposed.

    Args:
        composite_BHWC, background_BHWC, true_background_BHWC: uint8 RGB.
        foreground_BHWC, true_foreground_BHWC: uint8 RGBA, straight alpha.
        mask_BHW: bool, as it was given.
    """
    laid_BHWC = np.stack([blend(rgb, rgba) for rgb, rgba in zip(background_BHWC, foreground_BHWC, strict=True)])
    return sample_grid(
        [
            Column("picture and given mask", composite_BHWC, mask_BHW),
            Column("background", background_BHWC),
            Column("true background", true_background_BHWC),
            Column("foreground", foreground_BHWC),
            Column("true foreground", true_foreground_BHWC),
            Column("alpha", foreground_BHWC[..., 3:]),
            Column("true alpha", true_foreground_BHWC[..., 3:]),
            Column("recomposition", laid_BHWC),
        ]
    )


def levels(pictures_BCHW: Tensor) -> NDArray[np.uint8]:
    """Pictures as uint8 [B, H, W, C], from [B, C, H, W] in [-1, 1]; values beyond are clipped."""
    return to_uint8((pictures_BCHW.float() + 1) / 2)


def _tile(column: Column, i: int, factor: int) -> Tile:
    picture = column.pictures_BHWC[i]
    mask = None if column.mask_BHW is None else _enlarged(column.mask_BHW[i], factor)
    return Tile(_enlarged(picture[..., 0] if picture.shape[2] == 1 else picture, factor), column.name, mask)


def _enlarged(picture: Array, factor: int) -> Array:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)
