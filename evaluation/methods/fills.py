"""Fills of a hole that OpenCV does not have: the harmonic and the biharmonic one, at any size in bounded time.

The harmonic fill solves Laplace's equation inside the hole, with the pixels around it as values on the boundary: every
unknown pixel is the mean of its neighbours, so nothing in the hole is brighter or darker than what surrounds it. The
biharmonic one also continues the slopes at the boundary; it is scikit-image's (Damelin and Hoang 2018).
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import splu

from decoupage.images.types import Mask, Rgb

Levels = NDArray[np.float64]
"""[H, W, 3] in 0..255."""
GRAY = 128
"""Fills a picture of which nothing is known."""
MAX_HARMONIC_PX, MAX_BIHARMONIC_PX = 1 << 17, 1 << 14
"""Larger holes are solved on a smaller picture: the time of a solver grows faster than its hole."""


def harmonic(rgb: Rgb, hole: Mask, max_px: int = MAX_HARMONIC_PX) -> Rgb:
    """The picture [H, W, 3] with its hole [H, W] filled smoothly; the border of the picture reflects.

    Args:
        max_px: holes of more pixels are solved on a smaller picture.
    """
    return _filled(_solve_harmonic, rgb, hole, max_px)


def biharmonic(rgb: Rgb, hole: Mask, max_px: int = MAX_BIHARMONIC_PX) -> Rgb:
    """As `harmonic`, with scikit-image's biharmonic equation; levels that overshoot are cut."""
    return _filled(_solve_biharmonic, rgb, hole, max_px)


def _filled(solve: Callable[[Levels, Mask], Levels], rgb: Rgb, hole: Mask, max_px: int) -> Rgb:
    if not hole.any():
        return rgb.copy()
    if hole.all():
        return np.full_like(rgb, GRAY)
    factor = math.sqrt(hole.sum() / max_px)
    found = solve(rgb.astype(np.float64), hole) if factor <= 1 else _solve_small(solve, rgb, hole, factor)
    filled = rgb.copy()
    filled[hole] = np.rint(np.clip(found[hole], 0.0, 255.0)).astype(np.uint8)
    return filled


def _solve_small(solve: Callable[[Levels, Mask], Levels], rgb: Rgb, hole: Mask, factor: float) -> Levels:
    """A solution from a picture this many times smaller; of a small pixel only its known part counts."""
    height, width = hole.shape
    small = (max(1, int(width / factor)), max(1, int(height / factor)))
    known = (~hole).astype(np.float64)
    share = _resized(known, small, cv2.INTER_AREA)
    inside = share <= 0.0
    levels = _resized(rgb * known[..., None], small, cv2.INTER_AREA) / np.where(inside, 1.0, share)[..., None]
    found = solve(levels, inside) if inside.any() else levels
    return _resized(found, (width, height), cv2.INTER_LINEAR)


def _resized(levels: Levels, size: tuple[int, int], how: int) -> Levels:
    return np.asarray(cv2.resize(levels, size, interpolation=how), np.float64)


def _solve_harmonic(levels: Levels, hole: Mask) -> Levels:
    size = int(hole.sum())
    number = np.full(hole.shape, -1, np.int64)
    number[hole] = np.arange(size)
    rows, columns = [], []
    num_neighbours, known_sum = np.zeros(size), np.zeros((size, 3))
    # Beyond the picture's border there is no neighbour: the equation there has fewer terms, which reflects.
    for here, there in _neighbours():
        own, other = number[here], number[there]
        inside = own >= 0
        num_neighbours += np.bincount(own[inside], minlength=size)
        both, known = inside & (other >= 0), inside & (other < 0)
        rows.append(own[both])
        columns.append(other[both])
        known_sum[own[known]] += levels[there][known]
    row, column = np.concatenate(rows), np.concatenate(columns)
    matrix = diags_array(num_neighbours) - csc_array((np.ones(len(row)), (row, column)), shape=(size, size))
    # The matrix is symmetric and positive definite: its pivots can stay where they are, in an order that keeps it thin.
    solver = splu(csc_array(matrix), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    found = levels.copy()
    found[hole] = solver.solve(known_sum)
    return found


def _neighbours() -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """(pixels, their neighbours) in each of the four directions, as windows of one shape."""
    every, first, last = slice(None), slice(None, -1), slice(1, None)
    down, right = ((first, every), (last, every)), ((every, first), (every, last))
    return [down, (down[1], down[0]), right, (right[1], right[0])]


def _solve_biharmonic(levels: Levels, hole: Mask) -> Levels:
    from skimage.restoration import inpaint_biharmonic  # Slow to import.

    return np.asarray(inpaint_biharmonic(levels / 255.0, hole, channel_axis=-1), np.float64) * 255.0
