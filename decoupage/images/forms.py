"""The forms a picture may come in, and the forms it goes out in.

Masks have their own module. What is not one of the forms below is refused: nothing is guessed from the values.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image

from decoupage.images.levels import pil_values, unit_range

CHANNELS = (1, 3, 4)
"""Gray, RGB, RGBA."""


def as_picture(image: Any) -> torch.Tensor:
    """Bring a picture, or a batch of pictures of one size, to float32 [B, 3, H, W] in [0, 1].

    - PIL: every mode; 16-bit gray is scaled by 65,535. EXIF orientation is not applied (the mask would no longer
      fit): call `PIL.ImageOps.exif_transpose` first where it should be.
    - numpy: channels last, [H, W], [H, W, C] or [B, H, W, C].
    - torch: channels first, [H, W], [C, H, W] or [B, C, H, W].
    - a list or tuple of any of these, one size for all.

    C is 1, 3 or 4; a fourth channel must be opaque. uint8 stands for 0..255, uint16 for 0..65,535, floats for
    [0, 1]; floats outside are refused, above all [-1, 1], which cannot be distinguished from a dark picture in [0, 1].

    Raises:
        ValueError: another layout, range or number of channels; transparent pixels; sizes that differ in a list.
        TypeError: not a picture at all.
    """
    if isinstance(image, list | tuple):
        return _batch([as_picture(item) for item in image])
    if isinstance(image, Image.Image):
        values_BHWC = pil_values(image)[None]
    elif isinstance(image, np.ndarray):
        values_BHWC = _channels_last(image)
    elif isinstance(image, torch.Tensor):
        values_BHWC = _channels_first(image)
    else:
        raise TypeError(f"a picture is a PIL image, numpy array, torch tensor or a list of them, got {type(image)}")
    if values_BHWC.size == 0:
        raise ValueError(f"the picture has no pixels: its shape is {tuple(image.shape)}")
    values_BHWC = unit_range(values_BHWC, "picture")
    return torch.from_numpy(np.ascontiguousarray(_opaque_rgb(values_BHWC).transpose(0, 3, 1, 2)))


def to_uint8(picture_BCHW: torch.Tensor) -> np.ndarray:
    """uint8 [B, H, W, C] of a tensor [B, C, H, W] in [0, 1] (cut to it), rounded to the nearest level."""
    levels = (picture_BCHW.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def to_pil(picture_BCHW: torch.Tensor) -> list[Image.Image]:
    """PIL images of a tensor [B, C, H, W] in [0, 1]: L, RGB or RGBA by its 1, 3 or 4 channels."""
    levels_BHWC = to_uint8(picture_BCHW)
    if levels_BHWC.shape[-1] == 1:
        levels_BHWC = levels_BHWC[..., 0]
    return [Image.fromarray(np.ascontiguousarray(levels)) for levels in levels_BHWC]


def _channels_last(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        return array[None, ..., None]
    if array.ndim not in (3, 4) or array.shape[-1] not in CHANNELS:
        hint = "; channels stand last in numpy, first in torch" if set(array.shape[-3:-2]) & set(CHANNELS) else ""
        raise ValueError(
            f"a numpy picture is [H, W], [H, W, C] or [B, H, W, C], C in {CHANNELS}, got {array.shape}{hint}"
        )
    return array if array.ndim == 4 else array[None]


def _channels_first(tensor: torch.Tensor) -> np.ndarray:
    if tensor.ndim == 2:
        tensor = tensor[None]
    if tensor.ndim not in (3, 4) or tensor.shape[-3] not in CHANNELS:
        hint = "; channels stand first in torch, last in numpy" if set(tensor.shape[-1:]) & set(CHANNELS) else ""
        raise ValueError(
            f"a torch picture is [H, W], [C, H, W] or [B, C, H, W], C in {CHANNELS}, got {tuple(tensor.shape)}{hint}"
        )
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # numpy knows no bfloat16.
    array = tensor.numpy()
    return (array if array.ndim == 4 else array[None]).transpose(0, 2, 3, 1)


def _opaque_rgb(values_BHWC: np.ndarray) -> np.ndarray:
    channels = values_BHWC.shape[-1]
    if channels == 4 and values_BHWC[..., 3].min() < 1:
        raise ValueError("the picture has transparent pixels: lay it over a background first")
    return values_BHWC.repeat(3, axis=-1) if channels == 1 else values_BHWC[..., :3]


def _batch(pictures: list[torch.Tensor]) -> torch.Tensor:
    if not pictures:
        raise ValueError("the list of pictures is empty")
    for picture in pictures:
        if picture.shape[-2:] != pictures[0].shape[-2:]:
            sizes = " and ".join(f"{x.shape[-1]}x{x.shape[-2]} px" for x in (pictures[0], picture))
            raise ValueError(f"the pictures of a batch must have one size, got {sizes}: hand them over one by one")
    return torch.cat(pictures)
