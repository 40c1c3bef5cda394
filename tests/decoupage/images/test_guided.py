"""Enlarging alpha with the photograph as its guide."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoupage.images.guided import enlarge_alpha
from decoupage.images.sizes import resize_picture


@st.composite
def pairs(draw):
    """(alpha, its guide, a larger guide): noise, of any two sizes that may be."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    larger = height * draw(st.integers(1, 5)) + draw(st.integers(0, 3)), width * draw(st.integers(1, 5))
    alpha = rng.choice(np.array([0, 1, rng.random()], np.float32), (height, width))
    guide = rng.random((*larger, 3), np.float32)
    return alpha, resize_picture(guide, (height, width)), guide


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_alpha_stays_in_range_and_has_the_guides_size(pair):
    found = enlarge_alpha(*pair)
    assert found.shape == pair[2].shape[:2] and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_at_the_same_size_alpha_is_as_it_was(pair):
    alpha, small, _ = pair
    assert np.array_equal(enlarge_alpha(alpha, small, small), alpha)


@settings(max_examples=40, deadline=None)
@given(pairs(), st.sampled_from([0.0, 0.25, 1.0]))
def test_constant_alpha_stays_constant(pair, value):
    alpha, small, larger = pair
    found = enlarge_alpha(np.full_like(alpha, value), small, larger)
    assert np.abs(found - value).max() <= 1e-6


@settings(max_examples=40, deadline=None)
@given(pairs(), st.sampled_from([0, 1]))
def test_a_mirrored_picture_gives_the_mirrored_alpha(pair, axis):
    turned = [np.ascontiguousarray(np.flip(each, axis)) for each in pair]
    assert np.abs(enlarge_alpha(*turned) - np.flip(enlarge_alpha(*pair), axis)).max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(pairs(), st.floats(0, 1, width=32))
def test_a_flat_guide_changes_nothing_beyond_plain_interpolation(pair, value):
    alpha, small, larger = pair
    found = enlarge_alpha(alpha, np.full_like(small, value), np.full_like(larger, value))
    assert np.abs(found - resize_picture(alpha, larger.shape[:2])).max() < 1e-4


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_where_the_photograph_shows_something_else_it_is_no_guide(pair):
    alpha, _, larger = pair
    nowhere = np.zeros(alpha.shape, bool)
    plain = resize_picture(alpha, larger.shape[:2])
    assert np.abs(enlarge_alpha(*pair, nowhere) - plain).max() < 1e-6


def scene(background):
    """(true alpha, photograph): a red disc on a background."""
    alpha = cv2.circle(np.zeros((256, 256), np.float32), (128, 120), 70, 1, -1)
    picture = np.full((256, 256, 3), background, np.float32)
    picture[alpha > 0] = (0.8, 0.2, 0.1)
    return alpha, picture


def test_an_outline_that_the_photograph_shows_is_found_again():
    alpha, picture = scene((0.2, 0.5, 0.7))
    small = (32, 32)
    found = enlarge_alpha(resize_picture(alpha, small), resize_picture(picture, small), picture)
    plain = resize_picture(resize_picture(alpha, small), alpha.shape)
    assert np.abs(found - alpha).mean() < 0.2 * np.abs(plain - alpha).mean()


def test_over_a_background_of_the_same_colour_there_is_no_halo():
    alpha, picture = scene((0.8, 0.2, 0.1))
    small = (32, 32)
    found = enlarge_alpha(resize_picture(alpha, small), resize_picture(picture, small), picture)
    plain = resize_picture(resize_picture(alpha, small), alpha.shape)
    assert np.abs(found - plain).max() < 1e-4
    inside = cv2.erode(alpha, np.ones((49, 49))) > 0
    outside = cv2.dilate(alpha, np.ones((49, 49))) == 0
    assert (found[inside] > 1 - 1e-6).all() and (found[outside] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"alpha_hw": np.zeros((4, 5), np.float32)}, "alpha, its guide and the larger guide must be"),
        ({"radius_px": 0}, "radius_px must be at least 1"),
        ({"epsilon": 0.0}, "epsilon above 0"),
    ],
)
def test_what_cannot_be_enlarged_is_refused(arguments, words):
    given = {"alpha_hw": np.zeros((4, 4)), "guide_hw3": np.zeros((4, 4, 3)), "guide_HW3": np.zeros((8, 8, 3))}
    with pytest.raises(ValueError, match=words):
        enlarge_alpha(**{name: np.float32(array) for name, array in given.items()} | arguments)
