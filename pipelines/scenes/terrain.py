"""What the canvas offers to stand, float, fly or hang on, and where on it a cutout can be: geometry on the grid.

An object of height h whose foot is r rows below the horizon is h / 1.6 times r rows high, because every point at the
camera's height lies on the horizon: "Putting objects in perspective" (Hoiem, Efros and Hebert 2008), after Criminisi,
Reid and Zisserman, "Single view metrology" (2000).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Gray, Mask
from pipelines.library.layout import SUPPORTS, Layout
from pipelines.library.objects import Object
from pipelines.library.records import BackgroundRecord

Heights = NDArray[np.float64]
GRID = 64
"""Cells along a side of the canvas."""
CAMERA_M = 1.6
"""Height of the camera above the ground: that of a standing person's eyes."""
BASE_SHARE = 0.8
"""Share of a cutout's lowest rows that must lie on its support."""
SKY_SHARE = 0.85
"""Share of what flies that must lie on sky."""
NEAR_SHARE = 0.6
"""What has no height in the table is a close-up: its foot is at least so near as this share of the nearest support."""
SIZE_TOLERANCE = 1.25
"""Factor by which the size at a position may be worse than at the best one."""
SMALL_M = 0.4
"""Largest height of what has none in the table, where distances are known."""
MAX_SIZE_FACTOR = 1.6
"""Factor by which an object may be taller or less tall than it would be where it stands; ours, as are those above."""
MAX_LEAN_DEG = 2.0
"""Largest turn of what stands, floats or hangs, to either side."""
_BASE_ROWS = 0.04
"""Share of a cutout's height that its lowest (or highest) rows are."""
STANDING = ("ground", "water", "surface")
"""Supports under an object."""


@dataclass(frozen=True)
class Terrain:
    """The layout of a photograph under the crop that becomes the canvas, on the grid.

    Attributes:
        cells: support -> [GRID, GRID], where it is.
        horizon: its row, in cells from the canvas' top; it may lie outside.
        reach_HW: [GRID, GRID]: height in cells of what is as tall as the camera's height and stands there; >= 0.
        is_near: the picture is seen from near by, so that its scale is not known (`layout.offers`).
    """

    cells: dict[str, Mask]
    horizon: float
    reach_HW: NDArray[np.float64]
    is_near: bool

    @classmethod
    def of(cls, layout: Layout, record: BackgroundRecord, crop: tuple[int, int, int]) -> "Terrain":
        """The part of a layout under a crop.

        Args:
            record: the photograph's.
            crop: (left, top, side) in pixels of the upright photograph.
        """
        width, height = record.upright_size
        left, top, side = crop
        middles = (np.arange(GRID) + 0.5) / GRID * side
        rows = np.minimum((top + middles) / height * layout.support_HW.shape[0], layout.support_HW.shape[0] - 1)
        columns = np.minimum((left + middles) / width * layout.support_HW.shape[1], layout.support_HW.shape[1] - 1)
        window = np.ix_(rows.astype(int), columns.astype(int))
        cropped = Layout(layout.support_HW[window], layout.inverse_depth_HW[window])
        cells_a_height = GRID * height / side
        horizon = (record.horizon * height - top) / side * GRID
        if record.slope > 0:
            below = cropped.inverse_depth_HW / record.slope + (record.zero - record.horizon)
            reach = below.astype(np.float64) * cells_a_height
        else:
            reach = np.repeat((np.arange(GRID) + 0.5 - horizon)[:, None], GRID, axis=1)
        cells, is_near = {name: cropped.cells(name) for name in SUPPORTS}, "ground" not in record.offers.split()
        return cls(cells, horizon, np.maximum(reach, 0.0), is_near)

    def carries(self, support: str) -> Mask:
        """[GRID, GRID]: where the foot of something with this support (`Object.support`) may be.

        Where no surface is seen, small things lie on the ground: then it is a view from near by (`layout.offers`).
        """
        rows = np.arange(GRID)[:, None]
        if support == "surface":
            return self.cells["surface"] if self.cells["surface"].any() else self.carries("ground")
        if support in ("ground", "water"):
            return self.cells[support] & (rows > self.horizon)
        return self.cells[support]

    def under(self, thing: Object, alpha: Gray, box: tuple[int, int, int, int], size_px: int) -> str:
        """What carries a placed layer, one of SUPPORTS, or an empty string.

        What the lower border cuts stands on what it hides there; what the upper border cuts hangs from it.

        Args:
            alpha: of the layer, [h, w], cropped to its box on a canvas of size_px.
        """
        if thing.support == "sky":
            return "sky" if self._flies(alpha, box, size_px) else ""
        if thing.support == "hang" and box[1] == 0:
            return "hang"
        row, column = anchor(alpha, thing.support)
        cell = (row + box[1]) * GRID // size_px, (column + box[0]) * GRID // size_px
        if not self.carries(thing.support)[cell]:
            return ""
        return "ground" if self.cells["ground"][cell] else thing.support

    def _flies(self, alpha: Gray, box: tuple[int, int, int, int], size_px: int) -> bool:
        canvas = np.zeros((size_px, size_px), np.uint8)
        canvas[box[1] : box[3], box[0] : box[2]] = alpha
        cells = cv2.resize(canvas, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.int64)
        # Rounding to whole pixels moves a cutout by less than a cell.
        on_sky = (cells * self.cells["sky"]).sum() >= (SKY_SHARE - 0.05) * cells.sum()
        return bool(on_sky) and box[3] / size_px * GRID <= self.horizon + 1


def anchor(alpha: Gray, support: str) -> tuple[int, int]:
    """(row, column) of the place at which a cutout touches its support; the corner where it touches none."""
    if support == "hang":
        row, column = _foot(alpha[::-1])
        return alpha.shape[0] - 1 - row, column
    return (0, 0) if support in ("sky", "any") else _foot(alpha)


def _foot(alpha: Gray) -> tuple[int, int]:
    """The middle of a cutout's lowest rows. Half of its own opacity counts as visible."""
    lowest = _lowest(alpha)
    return int(np.flatnonzero(lowest.any(axis=1))[-1]), round(float(np.nonzero(lowest)[1].mean()))


def base(alpha: Gray) -> Gray:
    """Where a cutout touches what it stands on: 255 in its lowest rows, else 0."""
    return np.where(_lowest(alpha), 255, 0).astype(np.uint8)


def _lowest(alpha: Gray) -> Mask:
    visible = alpha >= max(1, alpha.max() / 2)
    rows = np.flatnonzero(visible.any(axis=1))
    first = rows[-1] - max(0, round(_BASE_ROWS * (rows[-1] - rows[0] + 1)) - 1)
    visible[:first] = False
    return visible


def ideal_heights(height_m: float, terrain: Terrain, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Heights:
    """Heights in cells, [rows, columns], of an object of this height with its foot there; 0 above the horizon.

    Below the canvas the ground goes on as a plane.
    """
    inside = np.ix_(rows.clip(0, GRID - 1), columns.clip(0, GRID - 1))
    plane = np.maximum(rows + 0.5 - terrain.horizon, 0.0)[:, None]
    return height_m / CAMERA_M * np.where(rows[:, None] < GRID, terrain.reach_HW[inside], plane)
