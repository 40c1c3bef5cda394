"""Optional colour harmonisation: pulls a layer's colour statistics towards those of what lies behind it.

Off by default: the paper pastes colours as they are. Reinhard et al., "Color transfer between images", 2001.
"""

import cv2
import numpy as np

from decoupage.images.types import Rgb, Rgba


def harmonise(rgba: Rgba, background: Rgb, box: tuple[int, int, int, int], strength: float) -> Rgba:
    """Move mean and deviation of the layer's colours in CIE Lab towards the background's inside its box.

    Args:
        strength: 0 = leave as it is, 1 = take the background's statistics over.
    """
    if strength == 0.0:
        return rgba
    left, top, right, bottom = box
    behind = _lab(background[top:bottom, left:right]).reshape(-1, 3)
    front = _lab(rgba[..., :3])
    visible = front[rgba[..., 3] > 0]
    mean, deviation = visible.mean(axis=0), np.maximum(visible.std(axis=0), 1e-3)
    moved = (front - mean) / deviation * behind.std(axis=0) + behind.mean(axis=0)
    mixed = front + np.float32(strength) * (moved - front)
    colour = cv2.cvtColor(mixed.astype(np.float32), cv2.COLOR_LAB2RGB)
    colour = np.rint(np.clip(colour, 0.0, 1.0) * 255).astype(np.uint8)
    return np.concatenate([colour, rgba[..., 3:]], axis=-1)


def _lab(rgb: Rgb) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(rgb).astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
