"""Harmonisation and cropping: colours move towards the background's, shapes and sizes do not."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.scenes.compose import crop_square
from pipelines.scenes.harmonise import harmonise
from tests.library import shape_rgba

BOX = (10, 20, 170, 180)


def background():
    """Bluish noise."""
    rng = np.random.default_rng(0)
    return np.clip(rng.normal((60, 90, 160), 12, (200, 200, 3)), 0, 255).astype(np.uint8)


def lab_mean(rgb):
    return cv2.cvtColor(rgb.reshape(1, -1, 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0].mean(axis=0)


def test_off_means_untouched():
    rgba = shape_rgba(1)
    assert harmonise(rgba, background(), BOX, 0.0) is rgba


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_colour_moves_towards_what_lies_behind_and_alpha_stays(strength):
    rgba, plate = shape_rgba(1), background()
    moved = harmonise(rgba, plate, BOX, strength)
    assert (moved[..., 3] == rgba[..., 3]).all()
    visible = rgba[..., 3] > 0
    goal = lab_mean(plate[BOX[1] : BOX[3], BOX[0] : BOX[2]])
    before = np.abs(lab_mean(rgba[visible][:, :3]) - goal).max()
    after = np.abs(lab_mean(moved[visible][:, :3]) - goal).max()
    assert after < before * (1 - strength) + 3


@given(st.integers(1, 60), st.integers(0, 20), st.integers(0, 20), st.sampled_from([8, 32, 64]))
def test_a_square_crop_has_the_size_and_the_colours_of_its_place(side, left, top, size_px):
    photograph = np.zeros((80, 80, 3), np.uint8)
    photograph[top : top + side, left : left + side] = (200, 100, 50)
    cropped = crop_square(photograph, (left, top, side), size_px)
    assert cropped.shape == (size_px, size_px, 3)
    assert (cropped == (200, 100, 50)).all()
