"""Errors of place: the right shape, somewhere beside."""

import numpy as np

from decoupage.images.types import Mask


def shift(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The mask moved by `reach_px` in a random direction; what leaves the canvas is lost."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    dx, dy = round(reach_px * np.cos(angle)), round(reach_px * np.sin(angle))
    height, width = mask.shape
    moved = np.zeros_like(mask)
    moved[max(0, dy) : max(0, height + dy), max(0, dx) : max(0, width + dx)] = mask[
        max(0, -dy) : max(0, height - dy), max(0, -dx) : max(0, width - dx)
    ]
    return moved
