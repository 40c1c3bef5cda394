"""Fills by equations: they solve them, keep what is known, and stay within their time by working on less."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evaluation.methods.fills import GRAY, biharmonic, harmonic

FILLS = pytest.mark.parametrize("fill", [harmonic, biharmonic])
SIDE_PX = 24


def disc(side_px, radius_px):
    y, x = np.mgrid[:side_px, :side_px] - side_px // 2
    return np.hypot(x, y) <= radius_px


def plane(side_px):
    """Levels that change evenly in both directions: they solve both equations."""
    y, x = np.mgrid[:side_px, :side_px]
    return np.dstack([40 + 2 * x, 200 - 3 * y, 60 + x + y]).astype(np.uint8)


@FILLS
@pytest.mark.parametrize("max_px", [10**6, 60])
def test_an_even_slope_is_continued(fill, max_px):
    rgb, hole = plane(SIDE_PX), disc(SIDE_PX, 8)
    given = rgb.copy()
    given[hole] = 255
    found = fill(given, hole, max_px)
    assert np.array_equal(found[~hole], rgb[~hole])
    assert np.abs(found.astype(int) - rgb).max() <= (1 if max_px > hole.sum() else 12)


@given(
    hnp.arrays(np.uint8, (9, 11, 3)),
    hnp.arrays(np.bool_, (9, 11)),
)
def test_each_unknown_pixel_is_the_mean_of_its_neighbours_and_none_is_beyond_what_is_known(rgb, hole):
    found = harmonic(rgb, hole)
    if hole.all():
        assert (found == GRAY).all()
        return
    assert np.array_equal(found[~hole], rgb[~hole])
    known = rgb[~hole]
    assert (found >= known.min(axis=0)).all() and (found <= known.max(axis=0)).all()
    for y, x in np.argwhere(hole):
        beside = [(y + down, x + right) for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        inside = [found[place].astype(float) for place in beside if 0 <= place[0] < 9 and 0 <= place[1] < 11]
        assert np.abs(np.mean(inside, axis=0) - found[y, x]).max() <= 1.01  # Levels are rounded.


@given(hnp.arrays(np.uint8, (9, 11, 3)), hnp.arrays(np.uint8, (9, 11, 3)), hnp.arrays(np.bool_, (9, 11)), st.booleans())
def test_what_is_under_the_hole_is_not_looked_at(rgb, other, hole, small):
    max_px = 4 if small else 10**6
    for fill in (harmonic, biharmonic) if (~hole).sum() > 50 else (harmonic,):
        hidden = np.where(hole[..., None], other, rgb)
        assert np.array_equal(fill(rgb, hole, max_px), fill(hidden, hole, max_px))


@FILLS
def test_without_a_hole_nothing_changes(fill):
    rgb = plane(SIDE_PX)
    assert np.array_equal(fill(rgb, np.zeros((SIDE_PX, SIDE_PX), bool)), rgb)


def test_the_border_of_the_picture_reflects():
    """Half of a picture is the same as the half of a mirrored one."""
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, (12, 8, 3), dtype=np.uint8)
    hole = np.zeros((12, 8), bool)
    hole[3:9, 4:] = True
    both = harmonic(np.hstack([left, left[:, ::-1]]), np.hstack([hole, hole[:, ::-1]]))
    assert np.abs(both[:, :8].astype(int) - harmonic(left, hole)).max() <= 1


def test_a_hole_of_any_size_is_solved_on_few_pixels(monkeypatch):
    solved = []
    solve = "evaluation.methods.fills._solve_harmonic"
    monkeypatch.setattr(solve, lambda levels, hole: solved.append(int(hole.sum())) or levels)
    harmonic(plane(64), disc(64, 28), max_px=200)
    assert 100 < solved[0] <= 200
