"""The rules by which a picture, a cutout and a mask change size, and the size that a model works at.

One rule each, for training, evaluation, the pipeline and every command; `decoupage.maps.table` says which rule a map
follows. Arrays are numpy, channels last; `decoupage.preparation` makes the model's tensors with them.

Downwards values are averaged over the area that a pixel stands for, upwards they are interpolated. Sizes are
(height, width) in pixels.
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Array, Mask

Size = tuple[int, int]
"""(height, width), px."""
MaskRule = Literal["touched", "half", "covered"]
"""Which pixels of a mask of another size are object: those whose colour in such a picture it touches, those that it
covers by half or more, or those that it covers wholly."""
_MIN_ALPHA = np.float32(0.5 / 255)
"""Alpha below this rounds to 0; dividing colours by it would only enlarge rounding errors."""


# ---- rules


def resize_picture(picture_HWC: Array, size: Size) -> Array:
    """A picture, [H, W] or [H, W, C], uint8 or float32 in [0, 1]: averaged downwards, bicubic upwards, cut to range."""
    if picture_HWC.shape[:2] == size:
        return picture_HWC
    is_uint8 = picture_HWC.dtype == np.uint8
    top = 255.0 if is_uint8 else 1.0
    resized = resample(picture_HWC.astype(np.float32), size, cv2.INTER_CUBIC).clip(0.0, top)
    return (np.rint(resized) if is_uint8 else resized).astype(picture_HWC.dtype)


def resize_rgba(rgba_HWC: Array, size: Size) -> Array:
    """A cutout [H, W, 4] with straight alpha, uint8 or float32 in [0, 1], as `resize_picture` but premultiplied.

    Where the result is invisible it carries the resized straight colour, so that no later filter finds black there.
    """
    if rgba_HWC.shape[:2] == size:
        return rgba_HWC
    is_uint8 = rgba_HWC.dtype == np.uint8
    values = rgba_HWC.astype(np.float32) / np.float32(255 if is_uint8 else 1)
    colour, alpha = values[..., :3], values[..., 3:]
    premultiplied = resample(np.concatenate([colour * alpha, alpha], axis=-1), size, cv2.INTER_CUBIC)
    colour, alpha = resample(colour, size, cv2.INTER_CUBIC), premultiplied[..., 3:]
    invisible = alpha < _MIN_ALPHA
    straight = np.where(invisible, colour, premultiplied[..., :3] / np.maximum(alpha, _MIN_ALPHA))
    resized = np.concatenate([straight, np.where(invisible, 0, alpha)], axis=-1).clip(0.0, 1.0)
    return (np.rint(resized * 255) if is_uint8 else resized).astype(rgba_HWC.dtype)


def resize_mask(mask_HW: Mask, size: Size, rule: MaskRule = "half") -> Mask:
    """A mask by one of the rules.

    Where no pixel fulfils it, those that are covered most are object: a mask with pixels keeps some. Upwards, pixels
    are repeated by the same share of cover.
    """
    if mask_HW.shape == size or not mask_HW.any():
        return np.ascontiguousarray(np.broadcast_to(mask_HW.any(), size)) if mask_HW.shape != size else mask_HW
    if rule == "touched":  # A pixel of an enlarged picture is made of one more old pixel on each side than this share.
        rows, columns = (3 if new > old else 1 for new, old in zip(size, mask_HW.shape, strict=True))
        mask_HW = cv2.dilate(mask_HW.astype(np.uint8), np.ones((rows, columns), np.uint8)) > 0
    share = resample(mask_HW.astype(np.float32), size, cv2.INTER_LINEAR)
    # A share is a sum of floats, so that what is covered wholly may lie a little below 1.
    wanted = {"touched": 1e-6, "half": 0.5, "covered": 1 - 1e-4}[rule]
    return np.asarray(share >= min(np.float32(wanted), share.max()))


def resize_labels(labels_HW: Array, size: Size) -> Array:
    """Labels, [H, W] or [H, W, C]: the one at each new pixel's centre, so that none is invented."""
    if labels_HW.shape[:2] == size:
        return labels_HW
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, labels_HW.shape[:2], strict=True)
    )
    return labels_HW[np.ix_(rows, columns)]


def resize_values(values_HW: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Measured values, [H, W] float32: averaged downwards, linear upwards, never beyond those that are there."""
    return resample(values_HW, size, cv2.INTER_LINEAR).clip(values_HW.min(), values_HW.max())


def resample(values_HWC: NDArray[np.float32], size: Size, upwards: int) -> NDArray[np.float32]:
    """Float32 [H, W] or [H, W, C] at another size, each axis by itself: area averages down, `upwards` (of cv2) up."""
    height, width = values_HWC.shape[:2]
    if (size[0] <= height) == (size[1] <= width) or size[0] == height or size[1] == width:
        steps = [size]
    else:  # OpenCV averages only where no axis grows.
        steps = [(min(size[0], height), min(size[1], width)), size]
    for new in steps:
        shrinks = new[0] <= values_HWC.shape[0] and new[1] <= values_HWC.shape[1]
        shape = (*new, *values_HWC.shape[2:])  # OpenCV drops an axis of one channel.
        method = cv2.INTER_AREA if shrinks else upwards
        values_HWC = cv2.resize(values_HWC, (new[1], new[0]), interpolation=method).reshape(shape)
    return np.asarray(values_HWC, np.float32)


# ---- the size that a model works at


@dataclass(frozen=True)
class Geometry:
    """Where a picture of size `input_px` lies on a canvas of size `canvas_px`: scaled to `content_px`, upper left.

    The rest of the canvas repeats the picture's edge, so that the model sees no false outline there, and lies outside
    every mask.
    """

    input_px: Size
    content_px: Size
    canvas_px: Size

    def picture(self, picture_HWC: NDArray[np.float32]) -> NDArray[np.float32]:
        """A picture of any size that shows the same, on the canvas."""
        return self._repeated(resize_picture(picture_HWC, self.content_px))

    def rgba(self, rgba_HWC: NDArray[np.float32]) -> NDArray[np.float32]:
        """A cutout on the canvas."""
        return self._repeated(resize_rgba(rgba_HWC, self.content_px))

    def mask(self, mask_HW: Mask, rule: MaskRule) -> Mask:
        """A mask on the canvas; the rest of the canvas lies outside."""
        (top, left), (height, width) = self.content_px, self.canvas_px
        return np.pad(resize_mask(mask_HW, self.content_px, rule), ((0, height - top), (0, width - left)))

    def on_canvas(self, content_HWC: Array) -> Array:
        """What has the content's size already, on the canvas."""
        return self._repeated(content_HWC)

    def undo(self, result_HWC: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring a result, float32 [canvas, 1, 3 or 4 channels] in [0, 1], back to the input's size.

        Exact where nothing was scaled. Four channels are RGBA with straight alpha.

        Raises:
            ValueError: the result does not have the canvas's size.
        """
        if result_HWC.shape[:2] != self.canvas_px:
            raise ValueError(f"the result must be {_name(self.canvas_px)}, got {_name(result_HWC.shape[:2])}")
        content = result_HWC[: self.content_px[0], : self.content_px[1]]
        resize = resize_rgba if result_HWC.shape[2:] == (4,) else resize_picture
        return resize(content, self.input_px)

    def _repeated(self, content_HWC: Array) -> Array:
        (height, width), (canvas_height, canvas_width) = content_HWC.shape[:2], self.canvas_px
        if (height, width) == self.canvas_px:
            return content_HWC
        rest = ((0, canvas_height - height), (0, canvas_width - width), *[(0, 0)] * (content_HWC.ndim - 2))
        return np.pad(content_HWC, rest, mode="edge")


def plan_geometry(input_px: Size, multiple: int, max_pixels: int | None = None, enlarge: bool = False) -> Geometry:
    """Decide content and canvas for a picture of size `input_px`.

    Args:
        multiple: both sides of the canvas are multiples of this, px.
        max_pixels: the canvas has at most so many pixels; larger pictures are scaled down. None: no bound.
        enlarge: scale smaller pictures up, to as many pixels as the canvas may have.

    Raises:
        ValueError: `multiple` is below 1, `max_pixels` below one multiple, or the picture too long for it.
    """
    if multiple < 1:
        raise ValueError(f"multiple must be at least 1, got {multiple}")
    content = input_px
    if max_pixels is not None:
        if max_pixels < multiple**2:
            raise ValueError(f"max_pixels must be at least {multiple**2} ({multiple}x{multiple} px), got {max_pixels}")
        content = _bounded(input_px, multiple, max_pixels, enlarge)
    return Geometry(input_px, content, _canvas(content, multiple))


def bounded_size(input_px: Size, max_pixels: int) -> Size:
    """The largest size of the same aspect with at most `max_pixels` pixels; never larger than the input."""
    return _bounded(input_px, 1, max_pixels)


def working_geometry(input_px: Size, multiple: int, size_px: int, max_pixels: int | None = None) -> Geometry:
    """The one rule by which a model that was trained at `size_px` x `size_px` takes pictures of any size.

    Each is brought to as many pixels, its aspect kept: larger ones are scaled down and smaller ones up.

    Args:
        max_pixels: instead, larger ones are scaled down to so many, and smaller ones stay as they are.
    """
    area_px = size_px**2 if max_pixels is None else max_pixels
    return plan_geometry(input_px, multiple, area_px, enlarge=max_pixels is None)


def _bounded(input_px: Size, multiple: int, max_pixels: int, enlarge: bool = False) -> Size:
    """The largest size of the same aspect whose canvas has at most `max_pixels`, found by its longer side."""
    longest = max(input_px)
    fitting = math.isqrt(max_pixels * longest // min(input_px)) + 1
    # Sizes of longest side `low` fit; canvases grow with the side, so halving finds the last.
    low, high = 0, max(longest, fitting) if enlarge else longest
    while low < high:
        middle = (low + high + 1) // 2
        canvas = _canvas(_scaled(input_px, middle / longest), multiple)
        low, high = (middle, high) if math.prod(canvas) <= max_pixels else (low, middle - 1)
    if low == 0:
        raise ValueError(f"a picture of {_name(input_px)} does not fit into {max_pixels} pixels")
    return _scaled(input_px, low / longest)


def _scaled(px: Size, scale: float) -> Size:
    return max(1, round(px[0] * scale)), max(1, round(px[1] * scale))


def _canvas(content: Size, multiple: int) -> Size:
    return math.ceil(content[0] / multiple) * multiple, math.ceil(content[1] / multiple) * multiple


def _name(px: tuple[int, ...]) -> str:
    return f"{px[1]}x{px[0]} px"
