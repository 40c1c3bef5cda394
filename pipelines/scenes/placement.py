"""Where layers stand: all positions are scored at once on a coarse grid, and one that meets the plan is drawn.

The overlap of a layer with every possible shift of another is a correlation, computed by FFT on alphas averaged
over cells. Everything is an integer, so rounding the FFT makes the scores exact and the same on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from decoupage.images.alpha import transmittance
from decoupage.images.types import Gray
from pipelines.config import ScenesConfig
from pipelines.scenes.plan import LayerPlan

GRID = 64
"""Cells along a side of the canvas."""


class Rejected(Exception):
    """A draw cannot meet the plan; the reason is one word, counted in the manifest."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Sprite:
    """A layer to be placed: its alpha on the grid's cells, and the sides that its photograph cut."""

    alpha: Gray
    """[h, w] in cells."""
    cut_sides: str


def place(
    sprites: Sequence[Sprite], plan: Sequence[LayerPlan], config: ScenesConfig, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Cells (top, left) of the sprites' corners, from bottom to top; they may lie outside the canvas.

    Raises:
        Rejected: `no_room` (it fits nowhere), `overlap` (it would hide what must stay visible), `occlusion`
            (no position hides as much as the plan asks).
    """
    canvas: list[Gray] = []
    corners: list[tuple[int, int]] = []
    for i, sprite in enumerate(sprites):
        allowed = _inside(sprite, plan[i].border_contact, config)
        if not allowed.any():
            raise Rejected("no_room")
        wanted = np.ones_like(allowed)
        for below in range(i):
            light = _light(canvas, below)
            amodal = int(canvas[below].sum(dtype=np.int64))
            visible = (canvas[below].astype(np.int64) * light + 127) // 255
            already = 1 - visible.sum() / amodal
            hidden = _overlap(visible, sprite.alpha) / (255.0 * amodal)
            if plan[below].occluder == i:
                low, high = getattr(config.occlusion, plan[below].occlusion)
                wanted &= (hidden + already >= low) & (hidden + already <= high)
            else:
                allowed &= hidden <= config.occlusion.none[1] / 2
        if not allowed.any():
            raise Rejected("overlap")
        choices = np.argwhere(allowed & wanted)
        if len(choices) == 0:
            raise Rejected("occlusion")
        row, column = choices[rng.integers(len(choices))]
        height, width = sprite.alpha.shape
        corner = (int(row) - height + 1, int(column) - width + 1)
        corners.append(corner)
        canvas.append(_paste(sprite.alpha, corner))
    return corners


def _inside(sprite: Sprite, border_contact: bool, config: ScenesConfig) -> np.ndarray:
    """Shifts at which the sprite keeps to the border rule; index = corner + sprite size - 1, on both axes.

    A side that the photograph cut must lie on or over the same side of the canvas: there it looks natural.
    """
    height, width = sprite.alpha.shape
    tops = np.arange(-height + 1, GRID)[:, None]
    lefts = np.arange(-width + 1, GRID)[None]
    over = {"t": tops < 0, "l": lefts < 0, "b": tops + height > GRID, "r": lefts + width > GRID}
    on = {"t": tops <= 0, "l": lefts <= 0, "b": tops + height >= GRID, "r": lefts + width >= GRID}
    whole = int(sprite.alpha.sum(dtype=np.int64))
    share = _overlap(np.full((GRID, GRID), 255, np.int64), sprite.alpha) / (255.0 * whole)
    allowed = np.ones((GRID + height - 1, GRID + width - 1), bool)
    for side in sprite.cut_sides:
        allowed &= on[side]
    free = [side for side in "tlbr" if side not in sprite.cut_sides]
    reaches = np.logical_or.reduce([np.broadcast_to(over[side], allowed.shape) for side in free])
    if border_contact and not sprite.cut_sides:
        low, high = config.border.inside
        return allowed & reaches & (share >= low) & (share <= high)
    # The photograph's border already cuts a cut sprite; it may sink a little further, and no other side is cut.
    return allowed & ~reaches & (share >= (config.border.inside[0] if sprite.cut_sides else 0.0))


def _overlap(field: np.ndarray, alpha: Gray) -> np.ndarray:
    """Sum of field * alpha at every shift of alpha over the field, exactly (both hold integers)."""
    height, width = (GRID + side - 1 for side in alpha.shape)
    # Padding to the sum of both sizes keeps the ends of the circular correlation apart.
    padded = fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True)
    product = fft.rfft2(field, padded) * fft.rfft2(alpha[::-1, ::-1], padded)
    return np.rint(fft.irfft2(product, padded)[:height, :width])


def _light(canvas: list[Gray], i: int) -> Gray:
    light = np.full((GRID, GRID), 255, np.uint8)
    for above in canvas[i + 1 :]:
        light = transmittance(light, above)
    return light


def _paste(alpha: Gray, corner: tuple[int, int]) -> Gray:
    canvas = np.zeros((GRID, GRID), np.uint8)
    top, left = corner
    height, width = alpha.shape
    rows = slice(max(top, 0), min(top + height, GRID))
    columns = slice(max(left, 0), min(left + width, GRID))
    canvas[rows, columns] = alpha[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return canvas
