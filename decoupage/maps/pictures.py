"""What the VAE sees of a map: edges, labels and nearness as 3-channel pictures.

One definition for training and inference alike; if it changes, adapters trained before no longer fit. Here maps
become pictures; what computes them belongs to the data, what fuses their tokens to `fusion.py`.

Stored maps are arrays or tensors, [H, W] or [B, H, W]:

- `edges`: bool or integers, nonzero = edge.
- `segmentation`: integer labels 0..255; 255, or -1 where the type is signed, = unlabelled.
- `depth`: nearness within the picture, 1 = near: float in [0, 1], or uint8 / uint16 in its whole range.

A float tensor [B, 3, H, W] is such a picture already, as a training loader makes them beforehand.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

MAPS = ("edges", "segmentation", "depth")
"""Names of the maps, in the order in which they are fused."""

UNLABELLED = 255
"""The label of what has none, as in PASCAL VOC. SegFormer's own 150 classes never reach it."""

FLAT = 1.0 / 255.0
"""Depth that spans less than this share of its whole range, one level of an 8-bit picture, counts as flat."""

StoredMap: TypeAlias = "NDArray[np.generic] | Tensor"

_FULL_RANGE = {torch.uint8: 255.0, torch.uint16: 65535.0}


def map_pictures(maps: Mapping[str, StoredMap], size: tuple[int, int]) -> dict[str, Tensor]:
    """Any subset of the maps as pictures for the VAE, in the order of `MAPS`.

    Args:
        maps: stored maps by name; they may differ in size, not in how many pictures they hold.
        size: (height, width) of the pictures to make, in pixels.

    Returns:
        [B, 3, height, width] float32 in [-1, 1] by name; arrays give CPU tensors, tensors stay on their device.

    Raises:
        ValueError: an unknown name, or a map that is not as the module says.
    """
    unknown = sorted(set(maps) - set(MAPS))
    if unknown:
        raise ValueError(f"maps must be among {', '.join(MAPS)}, got {', '.join(unknown)}")
    pictures = {name: _picture(name, maps[name], size) for name in MAPS if name in maps}
    counts = {name: len(picture) for name, picture in pictures.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"maps must hold equally many pictures, got {counts}")
    return pictures


def _picture(name: str, given: StoredMap, size: tuple[int, int]) -> Tensor:
    if isinstance(given, Tensor) and given.ndim == 4 and given.is_floating_point():
        if tuple(given.shape[1:]) != (3, *size):
            raise ValueError(f"a picture of {name} must be [B, 3, {size[0]}, {size[1]}], got {list(given.shape)}")
        return given
    return _PICTURES[name](given, size)


def edges_picture(edges: StoredMap, size: tuple[int, int]) -> Tensor:
    """Edges as white lines on black: [B, 3, height, width], -1 or 1, and between only where a picture shrinks.

    When the picture shrinks, a pixel's gray says how much of what it stands for is edge: nearest would break lines
    of one pixel, and keeping a pixel for any edge in it floods textured places with white from a quarter of the
    size on. When it grows, pixels are repeated, so that lines stay sharp.
    """
    edges_BHW = _as_batch("edges", edges)
    if edges_BHW.is_floating_point():
        raise ValueError(f"edges must be bool or integers, got {edges_BHW.dtype}")
    # Compared as int64, for torch has no comparison of uint16.
    lines_B1HW = (edges_BHW.to(torch.int64) != 0).float()[:, None]
    height, width = _check_size(size)
    shrunk_size = (min(height, lines_B1HW.shape[-2]), min(width, lines_B1HW.shape[-1]))
    return _gray(_repeat_pixels(_average_pixels(lines_B1HW, shrunk_size), (height, width)) * 2.0 - 1.0)


def segmentation_picture(labels: StoredMap, size: tuple[int, int]) -> Tensor:
    """Labels in the colours of `palette`: [B, 3, height, width], nearest pixel, so that no colour is invented."""
    labels_BHW = _as_batch("segmentation", labels)
    if labels_BHW.is_floating_point() or labels_BHW.dtype == torch.bool:
        raise ValueError(f"segmentation must be integer labels, got {labels_BHW.dtype}")
    index_BHW = labels_BHW.to(torch.int64)
    low, high = int(index_BHW.min()), int(index_BHW.max())
    if low < -1 or high > 255:
        raise ValueError(f"segmentation labels must be in [0, 255] or -1, got {low} to {high}")
    index_BHW = index_BHW.where(index_BHW >= 0, UNLABELLED)
    colours_BHWC = (palette().to(index_BHW.device).float() / 127.5 - 1.0)[index_BHW]
    return _repeat_pixels(colours_BHWC.permute(0, 3, 1, 2), _check_size(size)).contiguous()


def depth_picture(depth: StoredMap, size: tuple[int, int]) -> Tensor:
    """Nearness as gray: [B, 3, height, width], the farthest of each picture -1, its nearest 1, linear between.

    Depth-Anything gives disparity up to an unknown scale and offset, so only what lies between a picture's own
    ends means something. The ends are the least and the greatest value, as in Depth-Anything's own pictures: no
    percentile is cut off, since a small thing close by may be all that is above it. A map already stretched to 0..1
    stays as it is. A flat picture (see `FLAT`) becomes mid-gray. The ends are taken before resizing.
    """
    near_BHW = _nearness(_as_batch("depth", depth))
    low_B11, high_B11 = near_BHW.amin((1, 2), keepdim=True), near_BHW.amax((1, 2), keepdim=True)
    span_B11 = high_B11 - low_B11
    stretched = (near_BHW - low_B11) / span_B11.clamp_min(FLAT) * 2.0 - 1.0
    picture_B1HW = stretched.where(span_B11 >= FLAT, 0.0)[:, None]
    return _gray(_average_pixels(picture_B1HW, _check_size(size)))


_PICTURES: dict[str, Callable[[StoredMap, tuple[int, int]], Tensor]] = {
    "edges": edges_picture,
    "segmentation": segmentation_picture,
    "depth": depth_picture,
}


@cache
def palette() -> Tensor:
    """[256, 3] uint8: the colour of each label, the palette of PASCAL VOC.

    A label's bits are dealt to red, green, blue in turn, the lowest first and into the highest place. So labels with
    near numbers have far colours (any five in a row are at least 111 levels apart), and no two of the 256 are closer
    than 32. Source: VOCdevkit, VOClabelcolormap.m.
    """
    labels = torch.arange(256)
    colours = torch.zeros(256, 3, dtype=torch.int64)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= ((labels >> (3 * place + channel)) & 1) << (7 - place)
    return colours.to(torch.uint8)


def _as_batch(name: str, stored: StoredMap) -> Tensor:
    """[B, H, W] of a map given with or without its first axis."""
    if isinstance(stored, np.ndarray):
        # A copy: arrays may be read-only or run backwards, which torch does not take.
        stored = torch.from_numpy(np.array(stored, order="C"))
    if not isinstance(stored, Tensor):
        raise ValueError(f"{name} must be an array or a tensor, got {type(stored).__name__}")
    if stored.ndim not in (2, 3) or 0 in stored.shape:
        raise ValueError(f"{name} must be [H, W] or [B, H, W] with pixels, got shape {list(stored.shape)}")
    return stored if stored.ndim == 3 else stored[None]


def _nearness(depth_BHW: Tensor) -> Tensor:
    """Float32 in [0, 1] of stored depth."""
    if depth_BHW.dtype in _FULL_RANGE:
        return depth_BHW.float() / _FULL_RANGE[depth_BHW.dtype]
    if not depth_BHW.is_floating_point():
        raise ValueError(f"depth must be float, uint8 or uint16, got {depth_BHW.dtype}")
    near_BHW = depth_BHW.float()
    low, high = float(near_BHW.min()), float(near_BHW.max())
    # Also false for NaN, which min and max pass on.
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(f"depth must be in [0, 1] with 1 = near, got {low} to {high}")
    return near_BHW


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size must be (height, width) of at least 1 px, got {size}")
    return height, width


def _repeat_pixels(image_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest pixel, by pixel centres."""
    return (
        image_BCHW if image_BCHW.shape[-2:] == size else functional.interpolate(image_BCHW, size, mode="nearest-exact")
    )


def _average_pixels(image_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Linear, within the range of the values; antialiased, or shrinking would pick pixels instead of averaging."""
    if image_BCHW.shape[-2:] == size:
        return image_BCHW
    low, high = float(image_BCHW.min()), float(image_BCHW.max())
    return functional.interpolate(image_BCHW, size, mode="bilinear", antialias=True).clamp(low, high)


def _gray(image_B1HW: Tensor) -> Tensor:
    return image_B1HW.repeat(1, 3, 1, 1)
