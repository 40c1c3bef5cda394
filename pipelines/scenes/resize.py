"""A scene's parts at a smaller size. All else is derived from the smaller parts by the functions that exist.

So a small scene recomposes as exactly as a large one, which scaled pictures of it would not. Only downwards: nothing
is made up. Maps are brought down beside their type, in `pipelines.shards.reader`.
"""

from math import gcd

import cv2
import numpy as np

from decoupage.images.alpha import alpha_box, resize_rgba
from decoupage.images.types import Mask
from pipelines.scenes.parts import Layer, SceneParts


def resized(parts: SceneParts, size_px: int) -> SceneParts:
    """The scene on a canvas of `size_px` x `size_px`.

    The background is averaged over areas; each layer too, on the canvas and premultiplied, and is then cropped to its
    new box. Masks follow `resize_mask`. A layer of which nothing is left keeps a box of one pixel where it was, with
    alpha 0, so that layers keep their numbers. `record` stays as it is: its boxes and areas are those of the stored
    scene.

    Args:
        parts: a square scene.
        size_px: at most the scene's side; equal to it, the scene is returned as it is.

    Raises:
        ValueError: the scene is not square, or is smaller than asked for.
    """
    side_px = checked_side(parts.size, size_px)
    if size_px == side_px:
        return parts
    background = cv2.resize(parts.background, (size_px, size_px), interpolation=cv2.INTER_AREA).astype(np.uint8)
    layers = tuple(_resized_layer(layer, side_px, size_px) for layer in parts.layers)
    masks = tuple(resize_mask(mask, size_px) for mask in parts.imperfect_masks)
    return SceneParts(parts.key, background, layers, parts.record, masks)


def resize_mask(mask: Mask, size_px: int) -> Mask:
    """[size_px, size_px]: the pixels that a square mask covers by half or more.

    Where it covers none by half, the pixels that it covers most: a mask with pixels keeps some.

    Raises:
        ValueError: as `resized`.
    """
    side_px = checked_side((mask.shape[0], mask.shape[1]), size_px)
    if size_px == side_px or not mask.any():
        return mask[:size_px, :size_px]
    # Floats, for 8 bits would round a small share to none.
    share = cv2.resize(mask.astype(np.float32), (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(share >= min(np.float32(0.5), share.max()))


def checked_side(size: tuple[int, int], size_px: int) -> int:
    """The side of a (height, width) canvas that is to be brought to `size_px`. Raises ValueError as `resized`."""
    if size[0] != size[1]:
        raise ValueError(f"only square scenes can be resized, this one has {size[1]}x{size[0]} px")
    if not 1 <= size_px <= size[0]:
        raise ValueError(f"size_px must be in [1, {size[0]}], for scenes are only made smaller, got {size_px}")
    return size[0]


def _resized_layer(layer: Layer, side_px: int, size_px: int) -> Layer:
    left, top, right, bottom = layer.box
    # Where `step` pixels of the old canvas are exactly `new_step` of the new one, work can begin and end.
    step, new_step = side_px // gcd(side_px, size_px), size_px // gcd(side_px, size_px)
    x0, y0, x1, y1 = left // step, top // step, -(-right // step), -(-bottom // step)
    window = cv2.copyMakeBorder(
        layer.rgba,
        *(top - y0 * step, y1 * step - bottom, left - x0 * step, x1 * step - right),
        borderType=cv2.BORDER_REPLICATE,
    )
    # Beside the box nothing is visible; only the bled colour goes on.
    alpha = np.zeros(window.shape[:2], np.uint8)
    inside = slice(top - y0 * step, bottom - y0 * step), slice(left - x0 * step, right - x0 * step)
    alpha[inside] = layer.rgba[..., 3]
    window[..., 3] = alpha
    rgba = resize_rgba(np.asarray(window, np.uint8), (x1 - x0) * new_step, (y1 - y0) * new_step)
    if rgba[..., 3].any():
        box = alpha_box(rgba[..., 3])
    else:
        x, y = ((a + b) * size_px // (2 * side_px) for a, b in ((left, right), (top, bottom)))
        box = (x - x0 * new_step, y - y0 * new_step, x - x0 * new_step + 1, y - y0 * new_step + 1)
    tight = np.ascontiguousarray(rgba[box[1] : box[3], box[0] : box[2]])
    shifted = (box[0] + x0 * new_step, box[1] + y0 * new_step, box[2] + x0 * new_step, box[3] + y0 * new_step)
    return Layer(tight, shifted)
