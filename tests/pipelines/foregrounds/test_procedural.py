"""Procedural objects: complete, soft-edged, in the middle of the canvas, the same for the same seed."""

import cv2
import numpy as np
import pytest

from decoupage.randomness import generator
from pipelines.config import GateConfig, GeneratedConfig
from pipelines.foregrounds.gates import apply_gates, is_semi_transparent
from pipelines.foregrounds.generated_stage import make_generator
from pipelines.foregrounds.procedural.generator import FAMILIES, ProceduralGenerator
from pipelines.foregrounds.procedural.picture import Material, Picture
from pipelines.foregrounds.procedural.shapes import box, ellipse, join, limb, minus, polygon
from pipelines.foregrounds.prompts import Prompt, builtin_prompts, categories

SIZE_PX = 128
PROMPTS = builtin_prompts(12)
GATES = GateConfig(min_side_px=16, min_area_px=200)


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.text)
def test_every_prompt_gives_a_whole_object_that_the_gates_let_through(prompt: Prompt) -> None:
    for seed in (0, 1):
        rgba = ProceduralGenerator(SIZE_PX).generate(prompt, seed)
        assert rgba.shape == (SIZE_PX, SIZE_PX, 4) and rgba.dtype == np.uint8
        rim = np.concatenate([rgba[:2].ravel(), rgba[-2:].ravel(), rgba[:, :2].ravel(), rgba[:, -2:].ravel()])
        assert not rim.any(), "the object reaches the border"
        assert apply_gates(rgba, GATES).cut_sides == ""


def test_same_prompt_and_seed_same_bytes_another_seed_another_picture() -> None:
    for prompt in PROMPTS[::12]:
        draw = ProceduralGenerator(SIZE_PX)
        assert np.array_equal(draw.generate(prompt, 5), draw.generate(prompt, 5))
        assert not np.array_equal(draw.generate(prompt, 5), draw.generate(prompt, 6))


def test_about_an_eighth_of_the_prompts_is_see_through() -> None:
    draw = ProceduralGenerator(SIZE_PX)
    clear = [p.text for p in PROMPTS if is_semi_transparent(apply_gates(draw.generate(p, 0), GATES).rgba[..., 3])]
    assert {"glass bottle", "crystal ball", "jellyfish", "sheer scarf"} <= set(clear)
    assert 0.07 <= len(clear) / len(PROMPTS) <= 0.16, clear


def test_edges_are_soft() -> None:
    rgba = ProceduralGenerator(256).generate(Prompt("common object", "ball"), 0)
    inside = (rgba[..., 3] > 128).astype(np.uint8)
    edge = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    levels = np.unique(rgba[..., 3][edge])
    assert len(levels) > 40, "an antialiased circle has many levels of alpha on its edge"
    assert 0.3 < ((rgba[..., 3] > 0) & (rgba[..., 3] < 255)).sum() / edge.sum() < 3.0


def test_light_comes_from_above() -> None:
    for seed in range(6):
        picture = Picture(96, generator(seed, "test", 0))
        picture.paint(ellipse(0, 0, 0.7, 0.7), Material((0.5, 0.5, 0.5), bulge=0.7, grain=0.0))
        luminance = picture.rgba()[..., :3].mean(axis=-1)
        assert luminance[20:40, 40:56].mean() > luminance[56:76, 40:56].mean() + 5


def test_a_category_it_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"draws animal, .*got 'weather'"):
        ProceduralGenerator(64).generate(Prompt("weather", "storm"), 0)


def test_every_category_has_a_family_for_words_it_does_not_know() -> None:
    assert set(FAMILIES) == set(categories())
    for category in categories():
        rgba = make_generator(GeneratedConfig(size_px=96)).generate(Prompt(category, "thingummy"), 0)
        assert (rgba[..., 3] > 200).mean() > 0.03


def test_distances_have_the_right_sign_and_size() -> None:
    x, y = (axis.astype(np.float32) for axis in np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41)))
    disc, square = ellipse(0, 0, 0.5, 0.5), box(0, 0, 0.5, 0.5, 0.1)
    assert np.allclose(disc(x, y), np.hypot(x, y) - 0.5, atol=1e-3)
    assert np.allclose(limb((-0.5, 0), (0.5, 0), 0.2)(x, y)[20], np.maximum(np.abs(x[20]) - 0.5, 0) - 0.2, atol=1e-4)
    corners = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    # A polygon with its corners cut back and grown again is the rounded box.
    small = [(0.8 * a, 0.8 * b) for a, b in corners]
    assert np.allclose(polygon(small, 0.1)(x, y), square(x, y), atol=1e-3)
    assert ((join(disc, square)(x, y) < 0) == ((disc(x, y) < 0) | (square(x, y) < 0))).all()
    assert ((minus(square, disc)(x, y) < 0) <= (square(x, y) < 0)).all()
