"""What a mask is, and the one rule by which every kind of picture is read as one.

A mask says where the object is: 1 on it, 0 elsewhere. Its size is the picture's; nothing is resized here.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from decoupage.images.levels import pil_values, unit_range
from decoupage.images.types import Array, Mask

if TYPE_CHECKING:
    import torch

VOID_LABEL = 255
"""In label pictures such as VOC's: pixels left undecided."""
_GRAY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
_BLACK, _WHITE = 0.02, 0.98
_MAX_COVER, _MAX_BORDER = 0.8, 0.5
"""A mask that covers more of the picture, or of its border, is probably inverted."""
_COLOURED, _MAX_COLOURED_SHARE = 0.2, 0.02
"""A pixel whose channels lie farther apart is coloured; a mask holds at most this share of them (JPEG leaves some)."""


def as_mask(mask: Any, size: tuple[int, int]) -> "torch.Tensor":
    """Bring a mask, or a batch of masks, to float32 [B, 1, H, W] of 0 and 1; 1 = object.

    - PIL: every mode; see `mask_of`.
    - numpy and torch: [H, W], [B, H, W], [H, W, C], [B, H, W, C] or [B, C, H, W] with C 1, 2 (gray, alpha), 3 or 4;
      the known size decides which one it is.
    - a list or tuple of any of these: a batch.

    Of masks with alpha the alpha decides, unless it is opaque everywhere. bool stands for itself, integers for 0/1
    where the highest value is 1 and otherwise for 0..255 (uint16: 0..65,535), floats for [0, 1]. Soft masks are cut:
    half and above is object.

    Args:
        mask: the mask.
        size: (height, width) of the picture, px.

    Raises:
        ValueError: another size (both are named), an empty mask, a mask that covers the whole picture, a coloured
            picture, several labels, values outside the ranges above.
        TypeError: not a mask at all.
    """
    import torch

    if isinstance(mask, list | tuple):
        if not mask:
            raise ValueError("the list of masks is empty")
        return torch.cat([as_mask(item, size) for item in mask])
    if isinstance(mask, torch.Tensor):
        mask = (mask.detach().float() if mask.is_floating_point() else mask.detach()).cpu().numpy()
    elif not isinstance(mask, Image.Image | np.ndarray):
        raise TypeError(f"a mask is a PIL image, numpy array, torch tensor or a list of them, got {type(mask)}")
    soft_BHW = _one_channel(_scaled(_channels_last(_values(mask), size)))
    hard_BHW = soft_BHW >= 0.5
    _check_cover(hard_BHW, soft_BHW)
    return torch.from_numpy(hard_BHW[:, None].astype(np.float32))


def mask_of(image: Image.Image, size: tuple[int, int] | None = None) -> Mask:
    """The mask that a picture of any mode holds, [H, W]; empty and full ones are the caller's business.

    Gray levels and the alpha decide as in `as_mask`. A palette of grays stands for its grays. Any other palette makes
    it a label picture as VOC has them: 0 is background, 255 undecided (not object), and one label at most is left.

    Args:
        image: the picture, turned upright already.
        size: (height, width) that it must have, px.

    Raises:
        ValueError: as `as_mask`, but for empty and full masks.
    """
    return np.asarray(soft_mask_of(image, size) >= 0.5)


def soft_mask_of(image: Image.Image, size: tuple[int, int] | None = None) -> Array:
    """As `mask_of` without its threshold, [H, W] in [0, 1]: the alpha that a gray picture stands for."""
    return _one_channel(_scaled(_channels_last(_values(image), size or (image.height, image.width))))[0]


def mask_doubts(image: Image.Image) -> list[str]:
    """Why a picture is probably not the mask that was meant, in words; nothing for most. Raises as `mask_of`."""
    soft_HW = soft_mask_of(image)
    hard_HW = soft_HW >= 0.5
    border = np.concatenate([hard_HW[0], hard_HW[-1], hard_HW[1:-1, 0], hard_HW[1:-1, -1]])
    gray, white = ((soft_HW > low) & (soft_HW < high) for low, high in ((_BLACK, _WHITE), (_WHITE, 2)))
    doubts = []
    if hard_HW.mean() > _MAX_COVER:
        doubts.append(f"covers {hard_HW.mean():.0%} of the picture: is it inverted? The object is white")
    elif border.mean() > _MAX_BORDER:
        doubts.append(f"covers {border.mean():.0%} of the picture's border: is it inverted? The object is white")
    if gray.sum() > white.sum():
        doubts.append(
            f"is mostly gray ({gray.mean():.0%} of the picture, white is {white.mean():.0%}): it is cut at half"
        )
    return doubts


def _values(mask: Image.Image | Array) -> Array:
    if not isinstance(mask, Image.Image):
        return mask
    if mask.mode == "1":
        return np.asarray(mask)
    if mask.mode == "P" and not mask.has_transparency_data:
        return _palette_values(mask)
    if mask.mode in ("LA", "La"):
        return np.asarray(mask.convert("LA"))
    return np.asarray(mask) if mask.mode == "L" and not mask.has_transparency_data else pil_values(mask)


def _palette_values(mask: Image.Image) -> Array:
    labels_HW = np.asarray(mask)
    used = np.unique(labels_HW)
    colours = np.asarray(mask.getpalette("RGB"), np.uint8).reshape(-1, 3)
    if used.max() < len(colours) and not np.ptp(colours[used].astype(int), axis=1).any():
        return np.asarray(colours[labels_HW][..., 0])
    objects = [int(label) for label in used if label not in (0, VOID_LABEL)]
    if len(objects) > 1:
        named = ", ".join(map(str, objects[:5])) + (", ..." if len(objects) > 5 else "")
        raise ValueError(f"the mask is a label picture of {len(objects)} objects ({named}): save one of them as a mask")
    return labels_HW == objects[0] if objects else np.zeros(labels_HW.shape, bool)


def _channels_last(values: Array, size: tuple[int, int]) -> Array:
    """[B, H, W, C] of any accepted layout; the picture's size distinguishes the axes."""
    shape, channels = values.shape, (1, 2, 3, 4)
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


def _scaled(values: Array) -> Array:
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


def _one_channel(values_BHWC: Array) -> Array:
    if values_BHWC.shape[-1] in (2, 4):
        alpha = values_BHWC[..., -1]
        if alpha.min() < 1:
            return alpha
        values_BHWC = values_BHWC[..., :-1]
    if values_BHWC.shape[-1] == 1:
        return values_BHWC[..., 0]
    coloured = float((np.ptp(values_BHWC, axis=-1) > _COLOURED).mean())
    if coloured > _MAX_COLOURED_SHARE:
        raise ValueError(
            f"the mask is a coloured picture ({coloured:.0%} of its pixels): a mask is white on the object and black "
            "elsewhere"
        )
    return values_BHWC @ _GRAY_WEIGHTS


def _check_cover(hard_BHW: Array, soft_BHW: Array) -> None:
    for index, hard in enumerate(hard_BHW):
        name = "the mask" if len(hard_BHW) == 1 else f"mask {index} of {len(hard_BHW)}"
        if not hard.any():
            raise ValueError(f"{name} is empty: its highest value is {soft_BHW[index].max():.3g}, object is 0.5 and up")
        if hard.all():
            raise ValueError(f"{name} covers the whole picture: no background is left")
