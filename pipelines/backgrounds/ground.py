"""Where the horizon of a photograph is, and how inverse depth grows on its ground: a robust fit of a plane.

On a plane seen by a camera that is held level, inverse depth is proportional to the rows below the horizon (Criminisi,
Reid and Zisserman, "Single view metrology", 2000). Networks give it up to a factor and an offset, so that the line's
zero is the horizon only where something infinitely far, the sky, has been seen too.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.library.layout import GOOD_FIT, SEEN_SKY, Layout

MIN_CELLS = 48
MIN_ROWS = 0.06
"""Least number of cells of ground, and least share of the picture's height that they span, for a fit."""
LEVEL = 0.5
"""The horizon of a camera that is held level, as a share of the picture's height."""
_OUTERMOST = 0.02
"""Share of cells that may lie beyond the ground's upper or the sky's lower end: wrong labels."""


@dataclass(frozen=True)
class Ground:
    """The ground of a photograph; rows are shares of the picture's height, from its top.

    Attributes:
        horizon: row of the horizon; it may lie outside the picture.
        slope: inverse depth that a picture's height downwards adds on the ground; 0 where there is no fit.
        zero: row at which the fit reaches inverse depth 0.
        fit: coefficient of determination, 0..1.
    """

    horizon: float
    slope: float = 0.0
    zero: float = 0.0
    fit: float = 0.0


def find_ground(layout: Layout) -> Ground:
    """The ground of a photograph from its layout: ground and water count, because both are level."""
    height = layout.support_HW.shape[0]
    rows, columns = np.nonzero(layout.cells("ground") | layout.cells("water"))
    sky_rows = np.nonzero(layout.cells("sky"))[0]
    sees_sky = sky_rows.size >= SEEN_SKY * layout.support_HW.size
    # The sky is above the horizon; a hill or a house may hide the lower part of it.
    lowest_sky = float(np.quantile(sky_rows, 1 - _OUTERMOST) + 1) / height if sees_sky else 0.0
    if rows.size < MIN_CELLS:
        return Ground(round(max(LEVEL, lowest_sky), 5))
    top = float(np.quantile(rows, _OUTERMOST)) / height
    slope, zero, fit = _line((rows + 0.5) / height, layout.inverse_depth_HW[rows, columns].astype(np.float64))
    # The ground is below the horizon; a wall or a hedge may hide the upper part of it.
    horizon = min(top, max(lowest_sky, zero if fit >= GOOD_FIT and sees_sky else LEVEL))
    return Ground(round(horizon, 5), round(slope, 5), round(zero, 5), round(fit, 4))


def _line(rows: np.ndarray, depth: np.ndarray) -> tuple[float, float, float]:
    """(slope, zero, fit) of `depth = slope * (row - zero)` by least squares without the outliers of five rounds."""
    if np.ptp(rows) < MIN_ROWS or np.ptp(depth) == 0:
        return 0.0, 0.0, 0.0
    kept = np.ones(rows.size, bool)
    slope = offset = 0.0
    for _ in range(5):
        if kept.sum() < MIN_CELLS or np.ptp(rows[kept]) == 0:
            return 0.0, 0.0, 0.0
        centre, level = rows[kept].mean(), depth[kept].mean()
        spread = rows[kept] - centre
        slope = float((spread * (depth[kept] - level)).sum() / (spread**2).sum())
        offset = float(level - slope * centre)
        residuals = np.abs(depth - offset - slope * rows)
        # 1.4826 medians of absolute deviation are one standard deviation of normal noise.
        kept = residuals <= max(2.5 * 1.4826 * float(np.median(residuals)), 1e-4)
    if slope <= 0:
        return 0.0, 0.0, 0.0
    fit = 1.0 - float((residuals**2).sum() / ((depth - depth.mean()) ** 2).sum())
    return slope, -offset / slope, max(0.0, fit)
