"""The maps of a picture, a row each: how one is stored and read, what the VAE sees of it, what a person sees of it.

One definition for training, evaluation, the pipeline and every tool. If what the VAE sees changes, adapters trained
before no longer fit. What computes a map is in the modules beside this one (`choose.make_makers`), what fuses the
tokens of maps in `decoupage.fusion`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.codecs import decode_gray, decode_mask
from decoupage.images.sizes import Size, resize_labels, resize_values
from decoupage.images.types import Array, Rgb

UNLABELLED = 255
"""The label of what has none, as in PASCAL VOC. SegFormer's own 150 classes never reach it."""
FLAT = 1.0 / 255.0
"""Depth that spans less than this share of its whole range, one level of an 8-bit picture, counts as flat."""
Picture = NDArray[np.float32]
"""[H, W, 3] in [-1, 1]."""
StoredMaps = Mapping[str, Array]
"""Maps by name as they are stored, [h, w] each, at their own resolutions."""


@dataclass(frozen=True)
class Row:
    """One kind of map.

    Attributes:
        name: of the stage and of the setting; `<key>.<name>.png` in a shard.
        title: for people; its asset is named by it.
        about: a sentence on what a pixel says.
        mode: how Pillow names the stored PNG's pixels: `1` = 1 bit, `L` = 8 bits, `I;16` = 16 bits.
        full_size: stored as large as the composite; else at the resolution of what made it.
        decode: PNG -> stored map [h, w].
        picture: stored map and size -> what the VAE sees at that size. Raises ValueError for what is not such a map.
        show: stored map -> gray or RGB picture for people.
    """

    name: str
    title: str
    about: str
    mode: str
    full_size: bool
    decode: Callable[[bytes], Array]
    picture: Callable[[Array, Size], Picture]
    show: Callable[[Array], Array]


def decode_maps(members: Mapping[str, bytes], names: tuple[str, ...] | None = None) -> dict[str, Array]:
    """The stored maps of a scene's members, by suffix.

    Args:
        names: which ones; None = all there are in the table.

    Raises:
        BadItem: a picture is damaged. KeyError: a map is absent.
    """
    return {name: MAPS[name].decode(members[f"{name}.png"]) for name in (MAPS if names is None else names)}


# ---- edges


def edges_picture(edges: Array, size: Size) -> Picture:
    """Edges as white lines on black; a smaller pixel's gray says how much of what it stands for is edge.

    The nearest pixel would break lines of one pixel, and keeping a pixel for any edge in it floods textured places
    with white from a quarter of the size on. When the picture grows, pixels are repeated, so that lines stay sharp.

    Args:
        edges: [h, w] bool or integers, nonzero = edge.
    """
    _check("edges", edges)
    if edges.dtype.kind not in "biu":
        raise ValueError(f"edges must be bool or integers, got {edges.dtype}")
    lines = (edges != 0).astype(np.float32)
    shrunk = resize_values(lines, (min(size[0], lines.shape[0]), min(size[1], lines.shape[1])))
    return _gray(resize_labels(shrunk, size) * 2 - 1)


# ---- segmentation


def segmentation_picture(labels: Array, size: Size) -> Picture:
    """Labels in the colours of `palette`, nearest pixel, so that no colour is invented.

    Args:
        labels: [h, w] integers 0..255; 255, or -1 where the type is signed, = unlabelled.
    """
    _check("segmentation", labels)
    if labels.dtype.kind not in "iu":
        raise ValueError(f"segmentation must be integer labels, got {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or high > 255:
        raise ValueError(f"segmentation labels must be in [0, 255] or -1, got {low} to {high}")
    index = resize_labels(labels, size).astype(np.int64)
    colours = (palette().astype(np.float32) / np.float32(127.5) - 1)[np.where(index < 0, UNLABELLED, index)]
    return np.asarray(colours, np.float32)


@cache
def palette() -> NDArray[np.uint8]:
    """[256, 3] uint8: the colour of each label, the palette of PASCAL VOC.

    A label's bits are dealt to red, green, blue in turn, the lowest first and into the highest place. So labels with
    near numbers have far colours (any five in a row are at least 111 levels apart), and no two of the 256 are closer
    than 32. Source: VOCdevkit, VOClabelcolormap.m.
    """
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= ((labels >> (3 * place + channel)) & 1) << (7 - place)
    return colours.astype(np.uint8)


def show_regions(labels: Array) -> Rgb:
    """[H, W, 3]: region numbers as colours; neighbouring numbers get far colours."""
    hue = (labels.astype(np.float64) * 0.618034 % 1.0 * 180).astype(np.uint8)
    value = np.where(labels.astype(np.int64) % 2, 230, 170).astype(np.uint8)
    hsv = np.dstack([hue, np.full_like(hue, 140), value])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


# ---- depth


def depth_picture(depth: Array, size: Size) -> Picture:
    """Inverse depth as gray: the farthest of each picture -1, its nearest 1, linear between.

    Depth-Anything gives disparity up to an unknown scale and offset, so only what lies between a picture's own ends
    means something. The ends are the least and the greatest value, as in Depth-Anything's own pictures: no percentile
    is cut off, since a small thing close by may be all that is above it. A map already stretched to 0..1 stays as it
    is. A flat picture (see `FLAT`) becomes mid-gray. The ends are taken before resizing.

    Args:
        depth: [h, w], 1 = near: float in [0, 1], or uint8 / uint16 in its whole range.
    """
    near = inverse_depth(depth)
    low, high = near.min(), near.max()
    if high - low < FLAT:
        return np.zeros((*size, 3), np.float32)
    return _gray(resize_values((near - low) / (high - low) * 2 - 1, size))


def inverse_depth(depth: Array) -> NDArray[np.float32]:
    """[h, w] float32 in [0, 1], 1 = near, of stored depth. Raises ValueError as `depth_picture`."""
    _check("depth", depth)
    if depth.dtype in (np.uint8, np.uint16):
        return depth.astype(np.float32) / np.float32(np.iinfo(depth.dtype).max)
    if depth.dtype.kind != "f":
        raise ValueError(f"depth must be float, uint8 or uint16, got {depth.dtype}")
    near = depth.astype(np.float32)
    low, high = float(near.min()), float(near.max())
    # Also false for NaN, which min and max pass on.
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(f"depth must be in [0, 1] with 1 = near, got {low} to {high}")
    return near


def show_depth(depth: Array) -> Rgb:
    """[H, W, 3]: inverse depth, 8 or 16 bit, in inferno colours: bright = near."""
    gray = (depth >> 8).astype(np.uint8) if depth.dtype == np.uint16 else depth
    coloured = cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)


# ---- what they share


def _check(name: str, stored: Array) -> None:
    if not isinstance(stored, np.ndarray) or stored.ndim != 2 or 0 in stored.shape:
        shape = list(stored.shape) if isinstance(stored, np.ndarray) else type(stored).__name__
        raise ValueError(f"{name} must be [H, W] with pixels, got {shape}")


def _gray(values_HW: Array) -> Picture:
    return np.repeat(values_HW[..., None].astype(np.float32), 3, axis=2)


def _show_mask(mask: Array) -> Array:
    return mask.astype(np.uint8) * 255


MAPS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            name="edges",
            title="edge maps",
            about="Canny edges of the composite, 1 bit a pixel.",
            mode="1",
            full_size=True,
            decode=decode_mask,
            picture=edges_picture,
            show=_show_mask,
        ),
        Row(
            name="segmentation",
            title="segmentation maps",
            about="Segmentation of the composite, at the model's own resolution.",
            mode="L",
            full_size=False,
            decode=decode_gray,
            picture=segmentation_picture,
            show=show_regions,
        ),
        Row(
            name="depth",
            title="depth maps",
            about="Inverse depth of every pixel of the composite, at the model's own resolution.",
            mode="I;16",
            full_size=False,
            decode=decode_gray,
            picture=depth_picture,
            show=show_depth,
        ),
    )
}
"""By name, in the order in which they are fused."""
