"""Masks drawn to outlines: what they miss is found, what was drawn with care stays, and nothing fails."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoupage.images.grabcut import KEEP_FROM_IOU, refined_mask


def scene(seed=0, size=(120, 160)):
    """A red disc on noisy green, and where it is."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    disc = (rows - 60) ** 2 + (columns - 80) ** 2 <= 35**2
    picture = np.where(disc[..., None], (200, 40, 40), (40, 140, 60)) + rng.integers(-25, 26, (*size, 3))
    return picture.astype(np.uint8), disc


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def shifted(mask, by_px):
    return np.roll(mask, by_px, axis=1)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda disc: shifted(disc, 14), id="beside it"),
        pytest.param(lambda disc: disc & (np.arange(disc.shape[1]) < 95), id="a part of it"),
        pytest.param(lambda disc: np.pad(np.ones((90, 90), bool), ((15, 15), (35, 35))), id="a box"),
    ],
)
@pytest.mark.parametrize("enlarged", [1, 5])
def test_a_poor_mask_is_drawn_to_the_outline(spoil, enlarged):
    picture, disc = scene()
    mask = spoil(disc)
    picture, disc, mask = (each.repeat(enlarged, 0).repeat(enlarged, 1) for each in (picture, disc, mask))
    assert iou(mask, disc) < 0.85 and iou(refined_mask(picture, mask), disc) > 0.95


def test_a_mask_that_was_drawn_with_care_stays_as_it_is():
    picture, disc = scene()
    picture[40:46, 80:110] = (40, 140, 60)  # Colours alone would cut this out of it.
    assert refined_mask(picture, disc) is disc
    careless = shifted(disc, 14)
    assert iou(refined_mask(picture, careless), careless) <= KEEP_FROM_IOU


def test_what_lies_far_from_the_mask_is_not_taken():
    picture, disc = scene(size=(120, 400))
    picture[20:100, 300:380] = (200, 40, 40)
    assert not refined_mask(picture, shifted(disc, 14))[:, 250:].any()


def test_the_same_input_gives_the_same_mask():
    picture, disc = scene(3)
    first = refined_mask(picture, shifted(disc, 10))
    np.random.default_rng().random(10)
    assert np.array_equal(refined_mask(picture, shifted(disc, 10)), first)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**16), st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
def test_any_picture_and_any_mask_give_a_mask(height, width, seed, share):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)
    mask = rng.random((height, width)) < share
    found = refined_mask(picture, mask)
    assert found.shape == mask.shape and found.dtype == bool and found.any() == mask.any()
