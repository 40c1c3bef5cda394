"""Where layers stand: all positions are scored at once on a coarse grid, and one that meets the plan is drawn.

A layer that is placed by the rule `supported` has its foot on what carries it, at a size that fits there
(`terrain.py`); one placed by the rule `free` may be anywhere.

The overlap of a layer with every possible shift of another is a correlation, computed by FFT on alphas averaged
over cells. Everything is an integer, so rounding the FFT makes the scores exact and the same on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from decoupage.images.alpha import transmittance
from decoupage.images.types import Gray, Mask
from pipelines.config import ScenesConfig
from pipelines.library.objects import Object
from pipelines.scenes.plan import LayerPlan
from pipelines.scenes.terrain import (
    BASE_SHARE,
    CAMERA_M,
    GRID,
    MAX_SIZE_FACTOR,
    NEAR_SHARE,
    SIZE_TOLERANCE,
    SKY_SHARE,
    SMALL_M,
    STANDING,
    Terrain,
    anchor,
    base,
    ideal_heights,
)

TRIES = 8
"""How often the layers of an attempt are placed, one after the other, where they need a support."""


class Rejected(Exception):
    """A draw cannot meet the plan; the reason is one word, counted in the manifest."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Sprite:
    """A layer to be placed.

    Attributes:
        alpha: [h, w] in cells of the grid.
        cut_sides: the sides that its photograph cut.
        thing: what is known of the object, where it is placed by the rule `supported`; None where it is free.
    """

    alpha: Gray
    cut_sides: str
    thing: Object | None = None

    @property
    def support(self) -> str:
        """What is to carry it; `any` where it is free."""
        return self.thing.support if self.thing else "any"

    @property
    def anchor(self) -> tuple[int, int]:
        """(row, column) of the cell that touches the support; the corner where the sprite is free."""
        return anchor(self.alpha, self.support)


def place(
    sprites: Sequence[Sprite],
    plan: Sequence[LayerPlan],
    terrain: Terrain | None,
    config: ScenesConfig,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Cells (top, left) of the sprites' corners, from bottom to top; they may lie outside the canvas.

    Args:
        terrain: of the background; None where all sprites are free.

    Raises:
        Rejected: `no_room` (it fits nowhere), `unsupported` (nothing there carries it), `overlap` (it would hide what
            must stay visible), `occlusion` (no position hides as much as the plan asks), `scale` (at none of these
            positions its size is possible).
    """
    # Ground leaves less room than a canvas: a layer that is placed well enough alone may stand in the next one's way.
    tries = TRIES if terrain is not None and len(sprites) > 1 else 1
    while True:
        tries -= 1
        try:
            return _place(sprites, plan, terrain, config, rng)
        except Rejected as rejection:
            if not tries or rejection.reason in ("no_room", "unsupported"):
                raise


def _place(
    sprites: Sequence[Sprite],
    plan: Sequence[LayerPlan],
    terrain: Terrain | None,
    config: ScenesConfig,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    canvas: list[Gray] = []
    corners: list[tuple[int, int]] = []
    for i, sprite in enumerate(sprites):
        allowed = _inside(sprite, plan[i].border_contact, config)
        if not allowed.any():
            raise Rejected("no_room")
        misfit = np.zeros(allowed.shape)
        if sprite.thing is not None and terrain is not None:
            carried, misfit = _supported(sprite, sprite.thing, terrain)
            allowed &= carried
            if not allowed.any():
                raise Rejected("unsupported")
        wanted = np.ones_like(allowed)
        for below in range(i):
            light = _light(canvas, below)
            amodal = int(canvas[below].sum(dtype=np.int64))
            visible = (canvas[below].astype(np.int64) * light + 127) // 255
            already = 1 - visible.sum() / amodal
            hidden = _overlap(visible, sprite.alpha) / (255.0 * amodal)
            allowed &= (hidden == 0) | _nearer(sprite, sprites[below], corners[below])
            if plan[below].occluder == i:
                low, high = getattr(config.occlusion, plan[below].occlusion)
                wanted &= (hidden + already >= low) & (hidden + already <= high)
            else:
                allowed &= hidden <= config.occlusion.none[1] / 2
        if not allowed.any():
            raise Rejected("overlap")
        if not (allowed & wanted).any():
            raise Rejected("occlusion")
        least = misfit[allowed & wanted].min()
        if least > np.log(MAX_SIZE_FACTOR):
            raise Rejected("scale")
        choices = np.argwhere(allowed & wanted & (misfit <= least + np.log(SIZE_TOLERANCE)))
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


def _supported(sprite: Sprite, thing: Object, terrain: Terrain) -> tuple[np.ndarray, np.ndarray]:
    """Shifts at which something carries the sprite, and how badly its size fits there, as the logarithm of a factor."""
    alpha = sprite.alpha
    height, width = alpha.shape
    row, column = sprite.anchor
    rows, columns = np.arange(-height + 1, GRID) + row, np.arange(-width + 1, GRID) + column
    shape = (len(rows), len(columns))
    if thing.support == "sky":
        above = np.arange(1, GRID + height)[:, None] <= terrain.horizon
        return above & (_share_on(terrain.carries("sky"), alpha) >= SKY_SHARE), np.zeros(shape)
    carries = terrain.carries(thing.support)
    inside = np.ix_(rows.clip(0, GRID - 1), columns.clip(0, GRID - 1))
    carried = carries[inside] & ((columns >= 0) & (columns < GRID))[None]
    over = np.broadcast_to(rows[:, None] < 0, shape)
    if thing.support == "hang":
        # What reaches over the upper border hangs from something that is not seen.
        return carried | over, np.zeros(shape)
    # What reaches over the lower border stands on what goes on below it.
    beyond = (rows >= GRID)[:, None] | ("b" in sprite.cut_sides)
    carried &= ~over & (beyond | (_share_on(carries, base(alpha)) >= BASE_SHARE))
    if thing.height_m is not None:
        feet = rows.clip(None, GRID - 1) if "b" in sprite.cut_sides else rows
        ideal = ideal_heights(thing.height_m, terrain, feet, columns)
        return carried, _misfit(np.log(height / np.maximum(ideal, 1e-3)), thing.height_m, sprite.cut_sides)
    reach = terrain.reach_HW[inside]
    near = reach >= NEAR_SHARE * terrain.reach_HW[carries].max(initial=0.0)
    carried &= near | terrain.cells["surface"][inside]
    if terrain.is_near:
        return carried, np.zeros(shape)
    largest = ideal_heights(SMALL_M, terrain, rows, columns)
    return carried, np.log(np.maximum(height / np.maximum(largest, 1e-3), 1.0))


def _misfit(excess: np.ndarray, height_m: float, cut_sides: str) -> np.ndarray:
    """How wrong a size is, as the logarithm of a factor >= 1, from that of its height to what it would be there.

    Without its head an object is less tall. One whose feet are below the picture shows less than one that stands at
    the lower border if it is lower than the camera, and more if it is taller.
    """
    if "t" in cut_sides:
        return np.maximum(excess, 0.0)
    if "b" in cut_sides:
        return np.maximum(excess if height_m <= CAMERA_M else -excess, 0.0)
    return np.abs(excess)


def _share_on(cells: Mask, alpha: Gray) -> np.ndarray:
    """Share of the sprite's alpha on the canvas that lies on these cells, at every shift."""
    seen = _overlap(np.full((GRID, GRID), 255, np.int64), alpha)
    return _overlap(np.where(cells, 255, 0), alpha) / np.maximum(seen, 1)


def _nearer(sprite: Sprite, below: Sprite, corner: tuple[int, int]) -> np.ndarray:
    """Shifts at which the sprite's foot is not above that of one that stands behind it; all where either is free."""
    height, width = sprite.alpha.shape
    shape = (GRID + height - 1, GRID + width - 1)
    if not (sprite.support in STANDING and below.support in STANDING):
        return np.ones(shape, bool)
    rows = np.arange(-height + 1, GRID) + sprite.anchor[0]
    return np.broadcast_to((rows >= corner[0] + below.anchor[0])[:, None], shape)


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
