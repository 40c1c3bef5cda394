"""Values of any number type as float32 in [0, 1]. Numpy only; `forms` makes tensors of them."""

import numpy as np
from PIL import Image

_LEVELS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
_TOLERANCE = 1e-4


def pil_values(image: Image.Image) -> np.ndarray:
    """[H, W, C] values of a PIL image of any mode: 16-bit gray as uint16, `F` as float, all else as uint8."""
    if image.mode == "F":
        return np.asarray(image)[..., None]
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"32-bit gray must be in [0, 65535], got {values.min()}..{values.max()}")
        return values.astype(np.uint16)[..., None]
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def unit_range(values: np.ndarray, what: str) -> np.ndarray:
    """uint8, uint16 and floats in [0, 1] as float32 in [0, 1]. Raises ValueError for what lies outside."""
    if values.dtype in _LEVELS:
        return values.astype(np.float32) / np.float32(_LEVELS[values.dtype])
    if values.dtype.kind != "f":
        raise ValueError(f"a {what} is uint8, uint16 or floating, got {values.dtype}")
    values = values.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):  # Written so that NaN is refused, too.
        hint = ""
        if -1 - _TOLERANCE <= low < 0 and high <= 1 + _TOLERANCE:
            hint = "; values in [-1, 1] become (x + 1) / 2"
        elif low >= 0 and high <= 255:
            hint = "; values in 0..255 are divided by 255, or given as uint8"
        raise ValueError(f"a floating {what} must be in [0, 1], got {low:.4g}..{high:.4g}{hint}")
    return values.clip(0, 1)
