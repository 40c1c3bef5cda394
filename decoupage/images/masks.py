"""The forms a mask may come in.

A mask says where the object is: 1 on it, 0 elsewhere. Its size is the picture's; nothing is resized here.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image

from decoupage.images.forms import pil_values, unit_range

_GRAY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


def as_mask(mask: Any, size: tuple[int, int]) -> torch.Tensor:
    """Bring a mask, or a batch of masks, to float32 [B, 1, H, W] of 0 and 1; 1 = object.

    - PIL: every mode.
    - numpy and torch: [H, W], [B, H, W], [H, W, C], [B, H, W, C] or [B, C, H, W] with C 1, 3 or 4;
      the known size decides which one it is.
    - a list or tuple of any of these: a batch.

    Colour is turned to gray; of four channels the alpha decides, unless it is opaque everywhere. bool stands for
    itself, integers for 0/1 where the highest value is 1 and otherwise for 0..255 (uint16: 0..65,535), floats for
    [0, 1]. Soft masks are cut: half and above is object.

    Args:
        mask: the mask.
        size: (height, width) of the picture, px.

    Raises:
        ValueError: another size (both are named), an empty mask, a mask that covers the whole picture, values
            outside the ranges above.
        TypeError: not a mask at all.
    """
    if isinstance(mask, list | tuple):
        if not mask:
            raise ValueError("the list of masks is empty")
        return torch.cat([as_mask(item, size) for item in mask])
    if isinstance(mask, Image.Image):
        values = np.asarray(mask) if mask.mode == "1" else pil_values(mask)
    elif isinstance(mask, torch.Tensor):
        values = (mask.detach().float() if mask.is_floating_point() else mask.detach()).cpu().numpy()
    elif isinstance(mask, np.ndarray):
        values = mask
    else:
        raise TypeError(f"a mask is a PIL image, numpy array, torch tensor or a list of them, got {type(mask)}")
    soft_BHW = _one_channel(_scaled(_channels_last(values, size)))
    hard_BHW = soft_BHW >= 0.5
    _check_cover(hard_BHW, soft_BHW)
    return torch.from_numpy(hard_BHW[:, None].astype(np.float32))


def _channels_last(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[B, H, W, C] of any accepted layout; the picture's size tells axes apart."""
    shape, channels = values.shape, (1, 3, 4)
    if values.ndim == 2 and shape == size:
        return values[None, ..., None]
    if values.ndim == 3 and shape[:2] == size and shape[2] in channels:
        return values[None]
    if values.ndim == 3 and shape[1:] == size:
        return values[..., None]
    if values.ndim == 4 and shape[1:3] == size and shape[3] in channels:
        return values
    if values.ndim == 4 and shape[2:] == size and shape[1] in channels:
        return values.transpose(0, 2, 3, 1)
    found = f"has shape {shape}"
    if values.ndim == 2 or (values.ndim == 3 and shape[2] in channels):
        found = f"is {shape[1]}x{shape[0]} px"
    raise ValueError(f"the mask {found}, the picture is {size[1]}x{size[0]} px")


def _scaled(values: np.ndarray) -> np.ndarray:
    if values.size == 0:
        raise ValueError("the mask has no pixels")
    if values.dtype == np.bool_:
        return values.astype(np.float32)
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        limit = 65535 if values.dtype == np.uint16 else 255
        if low < 0 or high > limit:
            raise ValueError(f"a mask of {values.dtype} must be in 0..{limit}, got {low}..{high}")
        # 0/1 in integers is as usual as 0/255; a mask of 255ths that never passes 1 would be empty anyway.
        return values.astype(np.float32) / np.float32(1 if high <= 1 else limit)
    return unit_range(values, "mask")


def _one_channel(values_BHWC: np.ndarray) -> np.ndarray:
    if values_BHWC.shape[-1] == 4:
        alpha = values_BHWC[..., 3]
        return alpha if alpha.min() < 1 else values_BHWC[..., :3] @ _GRAY_WEIGHTS
    return values_BHWC @ _GRAY_WEIGHTS if values_BHWC.shape[-1] == 3 else values_BHWC[..., 0]


def _check_cover(hard_BHW: np.ndarray, soft_BHW: np.ndarray) -> None:
    for index, hard in enumerate(hard_BHW):
        name = "the mask" if len(hard_BHW) == 1 else f"mask {index} of {len(hard_BHW)}"
        if not hard.any():
            raise ValueError(f"{name} is empty: its highest value is {soft_BHW[index].max():.3g}, object is 0.5 and up")
        if hard.all():
            raise ValueError(f"{name} covers the whole picture: no background is left to go by")
