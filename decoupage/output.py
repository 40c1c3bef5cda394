"""The pipeline's output: layers at the input's size, recomposed and compared with the input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.utils import BaseOutput
from torch import Tensor

from decoupage.covers import covered_pixels
from decoupage.images.alpha import blend
from decoupage.images.blending import recomposition_error
from decoupage.images.forms import to_pil, to_uint8
from decoupage.images.types import Mask, Rgb, Rgba

GROW_PX = 8
"""Margin around the mask that is generated too, because it holds the object's own soft edge and shadow."""
OUTPUT_TYPES: dict[str, Callable[[Tensor], Any]] = {"pil": to_pil, "np": to_uint8, "pt": lambda x_BCHW: x_BCHW}


@dataclass
class LayerDecompositionOutput(BaseOutput):
    """The layers of pictures, at the size of the input.

    Attributes:
        foreground: one for each picture; with `layers=`, one for each mask, front to back. RGBA, straight alpha.
        background: one for each picture: the scene without the object, or without all of them. RGB.
        recomposition: foregrounds, each under what lies in front of it, over background; one for each picture.
        recomposition_error: mean absolute difference of recomposition and input, in 8-bit levels.
        in_front: one for each foreground: the input's own pixels where something lies over the completed object
            (`pixels_in_front`), opaque; transparent everywhere where nothing does. RGBA.
        mask: one for each foreground: by which it was taken off the picture, the given one or a better one that was
            drawn from it (`decoupage.looks`). One channel, white = the object.
    """

    foreground: Any
    background: Any
    recomposition: Any
    recomposition_error: list[float]
    in_front: Any
    mask: Any


def make_output(
    original: Tensor,
    background: Tensor,
    foregrounds: list[Tensor],
    masks: list[Tensor],
    used: list[Tensor],
    peeled: bool,
    output_type: str,
) -> LayerDecompositionOutput:
    """Recompose the layers, compare them with the input, and convert them to the type asked for.

    Args:
        original, background: [B, 3, H, W] in [0, 1].
        foregrounds: [B, 4, H, W] each, front to back; with `peeled` they are layers of one picture.
        masks: [B or 1, 1, H, W] each: where these objects were said to show.
        used: [B, 1, H, W] each: by which they were taken off.
        output_type: a key of `OUTPUT_TYPES`.
    """
    # Where nothing is visible, the decoder's colour is noise that no loss has seen; it would only enlarge the files.
    foregrounds = [rgba * (rgba[:, 3:] >= 0.5 / 255) for rgba in foregrounds]
    inputs, plates, rgbas = to_uint8(original), to_uint8(background), [to_uint8(each) for each in foregrounds]
    holes = [mask[:, 0].expand(len(inputs), -1, -1).cpu().numpy() > 0 for mask in masks]
    stacked = [
        stack_layers(picture, plate, [rgba[i] for rgba in rgbas], [hole[i] for hole in holes])
        for i, (picture, plate) in enumerate(zip(inputs, plates, strict=True))
    ]
    composed = [laid for laid, _ in stacked]
    errors = [recomposition_error(laid, picture).mean_absolute for laid, picture in zip(composed, inputs, strict=True)]
    # Of several pictures one each, of one picture its layers, front to back.
    covers = [cover for _, of_picture in stacked for cover in of_picture]
    objects, holes_B1HW = (torch.cat(each) if peeled else each[0] for each in (foregrounds, used))
    tensors = (objects, background, _as_tensor(composed), _as_tensor(covers), holes_B1HW)
    values = [OUTPUT_TYPES[output_type](each) for each in tensors]
    return LayerDecompositionOutput(*values[:3], errors, *values[3:])


def stack_layers(
    picture: Rgb, background: Rgb, foregrounds: Sequence[Rgba], masks: Sequence[Mask]
) -> tuple[Rgb, list[Rgba]]:
    """(the layers laid over one another, what lies in front of each of them), from one picture.

    Args:
        picture: the input, [H, W, 3].
        background: [H, W, 3].
        foregrounds: [H, W, 4] each, front to back.
        masks: [H, W] each: where these objects were said to show.
    """
    laid, covers = background, []
    for number in reversed(range(len(foregrounds))):
        laid = blend(laid, foregrounds[number])
        # Where an object nearer to the front was said to show, its own layer lies over this one.
        shows = np.logical_or.reduce(masks[: number + 1])
        covers.append(pixels_in_front(picture, laid, foregrounds[number], shows))
        laid = blend(laid, covers[-1])
    return laid, covers[::-1]


def pixels_in_front(picture: Rgb, laid: Rgb, foreground: Rgba, shows: Mask) -> Rgba:
    """[H, W, 4]: the input's pixels that lie in front of an object (`covered_pixels`), opaque; zero elsewhere."""
    covered = covered_pixels(picture, laid, foreground[..., 3], shows)
    return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]) * covered[..., None]


def _as_tensor(pictures: Sequence[Rgb | Rgba]) -> Tensor:
    """[B, C, H, W] in [0, 1]."""
    return torch.stack([torch.from_numpy(each).permute(2, 0, 1) for each in pictures]).float() / 255
