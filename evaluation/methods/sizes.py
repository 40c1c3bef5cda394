"""The resolution rule for models that work at a size of their own: bring the case there, and the answer back.

The longer side becomes the model's size and the other follows, each rounded to the nearest multiple that the model
takes, so the aspect changes by less than half a multiple. Pictures go both ways through one filter (Lanczos, with
prefilter downwards), layers as everywhere else (`decoupage.images.alpha`). A pixel of the mask is set where at least
half of it is covered. At the model's own size nothing is resampled.
"""

import numpy as np
from PIL import Image

from decoupage.images import alpha
from decoupage.images.types import Mask, Rgb, Rgba

_FILTER = Image.Resampling.LANCZOS
Size = tuple[int, int]
"""(height, width) in pixels."""


def working_size(size: Size, longer_px: int, multiple: int) -> Size:
    """The size at which a model works on a picture of `size`."""
    scale = longer_px / max(size)
    height, width = (max(multiple, round(side * scale / multiple) * multiple) for side in size)
    return height, width


def resize_rgb(picture: Rgb, size: Size) -> Rgb:
    """[H, W, 3] at another size."""
    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size[::-1], _FILTER))


def resize_rgba(picture: Rgba, size: Size) -> Rgba:
    """[H, W, 4] with straight alpha at another size, filtered premultiplied."""
    if picture.shape[:2] == size:
        return picture
    return alpha.resize_rgba(picture, width_px=size[1], height_px=size[0])


def resize_mask(mask: Mask, size: Size) -> Mask:
    """[H, W] bool at another size."""
    if mask.shape == size:
        return mask
    covered = Image.fromarray(mask.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(covered) >= 128
