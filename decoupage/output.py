"""The pipeline's output: layers at the input's size, recomposed and compared with the input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils import BaseOutput
from torch import Tensor

from decoupage.images.blending import recompose, recomposition_error
from decoupage.images.forms import to_pil, to_uint8

GROW_PX = 8
"""Margin around the mask that is generated too, because it holds the object's own soft edge and shadow."""
OUTPUT_TYPES: dict[str, Callable[[Tensor], Any]] = {"pil": to_pil, "np": to_uint8, "pt": lambda x_BCHW: x_BCHW}


@dataclass
class LayerDecompositionOutput(BaseOutput):
    """The layers of pictures, at the size of the input.

    Attributes:
        foreground: one for each picture; with `layers=`, one for each mask, front to back. RGBA, straight alpha.
        background: one for each picture: the scene without the object, or without all of them. RGB.
        recomposition: foreground over background, one for each picture.
        recomposition_error: mean absolute difference of recomposition and input, in 8-bit levels.
    """

    foreground: Any
    background: Any
    recomposition: Any
    recomposition_error: list[float]


def make_output(
    original: Tensor, background: Tensor, foregrounds: list[Tensor], peeled: bool, output_type: str
) -> LayerDecompositionOutput:
    """Recompose the layers, compare them with the input, and convert them to the type asked for.

    Args:
        original, background: [B, 3, H, W] in [0, 1].
        foregrounds: [B, 4, H, W] each, front to back; with `peeled` they are layers of one picture.
        output_type: a key of `OUTPUT_TYPES`.
    """
    # Where nothing is visible, the decoder's colour is noise that no loss has seen; it would only enlarge the files.
    foregrounds = [rgba * (rgba[:, 3:] >= 0.5 / 255) for rgba in foregrounds]
    rgb, rgbas = to_uint8(background), [to_uint8(foreground) for foreground in foregrounds]
    stacks = [[rgba[i] for rgba in rgbas] for i in range(len(rgb))]
    composed = [recompose(stack, plate) for stack, plate in zip(stacks, rgb, strict=True)]
    errors = [recomposition_error(c, o).mean_absolute for c, o in zip(composed, to_uint8(original), strict=True)]
    front = torch.cat(foregrounds) if peeled else foregrounds[0]
    recomposition = torch.stack([torch.from_numpy(c).permute(2, 0, 1) for c in composed]).float() / 255
    values = [OUTPUT_TYPES[output_type](x) for x in (front, background, recomposition)]
    return LayerDecompositionOutput(*values, recomposition_error=errors)
