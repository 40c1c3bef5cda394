"""Each error of the outline alone: what it may add, what it may take away, and that it keeps its contract."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.images.types import Mask
from decoupage.randomness import generator
from pipelines.masks.imperfect import OUTLINE_ERRORS


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    """Non-empty masks: single pixels, full canvases, discs and boxes with holes, also cut by the canvas."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    mask = np.zeros((height, width), np.uint8)
    place = st.tuples(st.integers(-8, width + 8), st.integers(-8, height + 8))
    for _ in range(draw(st.integers(0, 3))):
        cv2.circle(mask, draw(place), draw(st.integers(0, 25)), 1, cv2.FILLED)
        cv2.rectangle(mask, draw(place), draw(place), draw(st.integers(0, 1)), cv2.FILLED)
    mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = 1
    return mask.view(np.bool_)


reaches = st.integers(0, 30)
seeds = st.integers(0, 1000)


def _run(kind: str, mask: Mask, reach_px: int, seed: int) -> Mask:
    return OUTLINE_ERRORS[kind](mask, reach_px, generator(seed, "test", kind))


@pytest.mark.parametrize("kind", OUTLINE_ERRORS)
@given(mask=masks(), reach_px=reaches, seed=seeds)
def test_every_kind_keeps_shape_and_type_and_repeats_itself(kind: str, mask: Mask, reach_px: int, seed: int) -> None:
    before = mask.copy()
    worse = _run(kind, mask, reach_px, seed)
    assert worse.shape == mask.shape and worse.dtype == np.bool_
    assert np.array_equal(mask, before), "the given mask was written to"
    assert np.array_equal(worse, _run(kind, mask, reach_px, seed))


@pytest.mark.parametrize("kind", ["dilation", "box"])
@given(mask=masks(), reach_px=reaches, seed=seeds)
def test_growing_kinds_lose_nothing(kind: str, mask: Mask, reach_px: int, seed: int) -> None:
    assert not (mask & ~_run(kind, mask, reach_px, seed)).any()


@pytest.mark.parametrize("kind", ["erosion", "hole", "missing_part"])
@given(mask=masks(), reach_px=reaches, seed=seeds)
def test_losing_kinds_add_nothing(kind: str, mask: Mask, reach_px: int, seed: int) -> None:
    assert not (_run(kind, mask, reach_px, seed) & ~mask).any()


@given(mask=masks(), reach_px=reaches, seed=seeds)
def test_a_box_is_one_box_within_reach(mask: Mask, reach_px: int, seed: int) -> None:
    loose = _run("box", mask, reach_px, seed)
    left, top, width, height = cv2.boundingRect(loose.view(np.uint8))
    assert loose[top : top + height, left : left + width].all()
    tight = cv2.boundingRect(mask.view(np.uint8))
    assert 0 <= tight[0] - left <= reach_px and 0 <= tight[1] - top <= reach_px


@given(mask=masks(), reach_px=reaches)
def test_more_reach_grows_or_shrinks_more(mask: Mask, reach_px: int) -> None:
    assert not (_run("dilation", mask, reach_px, 0) & ~_run("dilation", mask, reach_px + 1, 0)).any()
    assert not (_run("erosion", mask, reach_px + 1, 0) & ~_run("erosion", mask, reach_px, 0)).any()


@given(mask=masks(), reach_px=reaches, seed=seeds)
def test_a_shift_inside_the_canvas_keeps_the_shape(mask: Mask, reach_px: int, seed: int) -> None:
    roomy = np.pad(mask, reach_px + 1)
    moved = _run("shift", roomy, reach_px, seed)
    assert moved.sum() == mask.sum()
    old, new = cv2.boundingRect(roomy.view(np.uint8)), cv2.boundingRect(moved.view(np.uint8))
    assert old[2:] == new[2:]
    assert abs(np.hypot(new[0] - old[0], new[1] - old[1]) - reach_px) <= 1.0


@pytest.mark.parametrize("kind", sorted(set(OUTLINE_ERRORS) - {"none"}))
def test_every_kind_does_something_to_a_plain_object(kind: str) -> None:
    mask = np.zeros((200, 200), np.uint8)
    cv2.circle(mask, (100, 90), 50, 1, cv2.FILLED)
    cv2.rectangle(mask, (60, 100), (170, 130), 1, cv2.FILLED)
    worse = _run(kind, mask.view(np.bool_), 8, 3)
    assert worse.any() and not np.array_equal(worse, mask.view(np.bool_))


def test_the_canvas_border_is_no_edge() -> None:
    mask = np.zeros((60, 60), np.bool_)
    mask[20:, 10:50] = True  # goes on below the picture
    for seed in range(20):
        assert _run("erosion", mask, 5, seed)[59, 30]
        assert _run("blob", mask, 5, seed)[59, 10:50].all()
        assert _run("polygon", mask, 5, seed)[59, 12:48].all()


def test_boundary_noise_is_smooth_and_bounded() -> None:
    mask = np.zeros((256, 256), np.uint8)
    cv2.circle(mask, (128, 128), 80, 1, cv2.FILLED)
    for seed in range(10):
        noisy = _run("boundary", mask.view(np.bool_), 8, seed).view(np.uint8)
        radius = np.hypot(*(np.argwhere(noisy != mask) - 128).T)
        assert np.abs(radius - 80).max() <= 2 * 8
        contours, _ = cv2.findContours(noisy, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        assert len(contours) == 1, "noise tore the edge"
        assert cv2.arcLength(contours[0], True) < 1.25 * cv2.arcLength(
            cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0][0], True
        )


@given(mask=masks(), reach_px=reaches, seed=seeds)
def test_a_hole_always_takes_something_away(mask: Mask, reach_px: int, seed: int) -> None:
    assert _run("hole", mask, reach_px, seed).sum() < mask.sum()


def test_holes_lie_inside_where_there_is_room() -> None:
    mask = np.zeros((120, 120), np.bool_)
    mask[10:110, 10:110] = True
    for seed in range(20):
        pierced = _run("hole", mask, 8, seed)
        assert pierced[10, 10:110].all() and pierced[109, 10:110].all() and pierced[10:110, 10].all()
