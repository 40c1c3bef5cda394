"""Sharpness: what the measure says of pictures whose blur is known."""

import cv2
import numpy as np
import pytest

from decoupage.randomness import generator
from pipelines.scenes.parts import Layer, SceneParts
from pipelines.scenes.sharpness import log2_ratio, sharpness_of_layers


def noise(sigma_px):
    grey = generator(1, "noise", 0).integers(0, 256, (200, 200), np.uint8)
    blurred = cv2.GaussianBlur(grey, (0, 0), sigma_px) if sigma_px else grey
    return np.repeat(blurred[..., None], 3, axis=2)


def scene(inside_px, around_px, radius=40):
    y, x = np.mgrid[:200, :200] - 100
    alpha = np.where(np.hypot(x, y) < radius, 255, 0).astype(np.uint8)
    layer = Layer(np.dstack([noise(inside_px), alpha]), (0, 0, 200, 200))
    return SceneParts("0", noise(around_px), (layer,), {})


def ratio(*args):
    ((inside, around),) = sharpness_of_layers(scene(*args))
    return log2_ratio(inside, around)


def test_equal_pictures_are_equally_sharp_in_spite_of_the_edge_between_them():
    assert ratio(1.0, 1.0) == pytest.approx(0.0, abs=0.3)


def test_a_blurred_layer_is_less_sharp_and_a_blurred_photograph_makes_it_sharper():
    assert ratio(2.0, 0.0) < -4 and ratio(0.0, 2.0) > 4


def test_what_covers_a_layer_is_not_counted_as_its_inside():
    below = scene(3.0, 3.0)
    cover = np.dstack([noise(0.0), np.where(np.arange(200) < 100, 255, 0).astype(np.uint8)[None].repeat(200, 0)])
    parts = SceneParts("0", below.background, (*below.layers, Layer(cover, (0, 0, 200, 200))), {})
    alone, covered = sharpness_of_layers(below)[0][0], sharpness_of_layers(parts)[0][0]
    assert covered == pytest.approx(alone, rel=0.3)


def test_a_layer_that_hardly_shows_has_no_sharpness():
    assert sharpness_of_layers(scene(0.0, 0.0, radius=6))[0][0] is None
