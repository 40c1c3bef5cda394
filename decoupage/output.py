"""What the pipeline gives back: layers at the input's size, laid over each other again and compared with the input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils import BaseOutput
from torch import Tensor

from decoupage.images.blending import paste_back, recompose, recomposition_error
from decoupage.images.forms import to_pil, to_uint8

GROW_PX = 8
"""Around the mask: the object's own soft edge and shadow lie there."""
OUTPUT_TYPES: dict[str, Callable[[Tensor], Any]] = {"pil": to_pil, "np": to_uint8, "pt": lambda x_BCHW: x_BCHW}


@dataclass
class LayerDecompositionOutput(BaseOutput):
    """What the pipeline gives, at the size of the input.

    Attributes:
        foreground: one a picture; with `layers=`, one a mask, front to back. RGBA, straight alpha.
        background: one a picture: the scene without the object, or without all of them. RGB.
        recomposition: foreground over background, one a picture.
        recomposition_error: mean absolute difference of recomposition and input, in 8-bit levels.
    """

    foreground: Any
    background: Any
    recomposition: Any
    recomposition_error: list[float]


def keep_outside(original: Tensor, generated: Tensor, mask: Tensor) -> Tensor:
    """The generated background inside the grown mask, the input's own pixels outside of it, exactly."""
    return paste_back(original, generated, mask, GROW_PX)


def make_output(
    original: Tensor, background: Tensor, foregrounds: list[Tensor], peeled: bool, output_type: str
) -> LayerDecompositionOutput:
    """Compose, compare and convert.

    Args:
        original, background: [B, 3, H, W] in [0, 1].
        foregrounds: [B, 4, H, W] each, front to back; with `peeled` they are layers of one picture.
        output_type: a key of `OUTPUT_TYPES`.
    """
    # What the decoder says where nothing shows is noise that no loss has seen; it would only swell the files.
    foregrounds = [rgba * (rgba[:, 3:] >= 0.5 / 255) for rgba in foregrounds]
    rgb, rgbas = to_uint8(background), [to_uint8(foreground) for foreground in foregrounds]
    stacks = [[rgba[i] for rgba in rgbas] for i in range(len(rgb))]
    composed = [recompose(stack, plate) for stack, plate in zip(stacks, rgb, strict=True)]
    errors = [recomposition_error(c, o).mean_absolute for c, o in zip(composed, to_uint8(original), strict=True)]
    front = torch.cat(foregrounds) if peeled else foregrounds[0]
    recomposition = torch.stack([torch.from_numpy(c).permute(2, 0, 1) for c in composed]).float() / 255
    values = [OUTPUT_TYPES[output_type](x) for x in (front, background, recomposition)]
    return LayerDecompositionOutput(*values, recomposition_error=errors)
