"""Blending is exact, resizing makes no fringes, bleeding is that of LayerDiffuse."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from decoupage.images.alpha import alpha_box, bleed, blend, divide_by_255, resize_alpha, resize_rgba, transmittance
from decoupage.randomness import generator


def rgba_arrays(max_side: int = 24):
    shapes = st.tuples(st.integers(1, max_side), st.integers(1, max_side), st.just(4))
    return arrays(np.uint8, shapes)


def disc(size_px: int, colour: tuple[int, int, int], outside: tuple[int, int, int]) -> np.ndarray:
    """A soft disc of one colour on invisible pixels of another."""
    y, x = np.mgrid[:size_px, :size_px] - (size_px - 1) / 2
    alpha = np.clip(size_px / 3 - np.hypot(x, y), 0, 1) * 255
    rgb = np.where(alpha[..., None] > 0, colour, outside)
    return np.dstack([rgb, alpha]).astype(np.uint8)


def test_division_is_exact_for_every_product():
    products = np.arange(255 * 255 + 1, dtype=np.uint16)
    # No product of 255ths lies half-way, so "nearest" has one meaning.
    assert (divide_by_255(products) == np.rint(products / 255.0)).all()


@pytest.mark.parametrize("alpha", range(0, 256, 5))
def test_blend_is_exact_for_all_colours(alpha):
    above, below = (grid.astype(np.uint8) for grid in np.mgrid[:256, :256])
    rgba = np.dstack([above, above, above, np.full_like(above, alpha)])
    mixed = blend(np.dstack([below, below, below]), rgba)[..., 0]
    exact = (above * np.float64(alpha) + below * np.float64(255 - alpha)) / 255.0
    assert (mixed == np.floor(exact + 0.5)).all()


def test_blend_is_exact_for_a_sample_of_all_combinations():
    colour, below, alpha = generator(0, "tests", "blend").integers(0, 256, (3, 1000, 1000), np.uint8)
    mixed = blend(np.dstack([below] * 3), np.dstack([colour] * 3 + [alpha]))[..., 1]
    exact = (colour * alpha.astype(np.float64) + below * (255.0 - alpha)) / 255.0
    assert (mixed == np.floor(exact + 0.5)).all()


@given(rgba_arrays(), st.integers(0, 255))
def test_blend_agrees_with_pillow(rgba, shade):
    below = np.full((*rgba.shape[:2], 3), shade, np.uint8)
    opaque = np.dstack([below, np.full(rgba.shape[:2], 255, np.uint8)])
    pillow = np.asarray(Image.alpha_composite(Image.fromarray(opaque), Image.fromarray(rgba)))
    assert abs(blend(below, rgba).astype(int) - pillow[..., :3]).max() <= 1


@given(rgba_arrays())
def test_blend_at_the_ends(rgba):
    below = 255 - rgba[..., :3]
    rgba[..., 3] = 0
    assert (blend(below, rgba) == below).all()
    rgba[..., 3] = 255
    assert (blend(below, rgba) == rgba[..., :3]).all()


def test_transmittance_is_exact():
    below, above = (grid.astype(np.uint8) for grid in np.mgrid[:256, :256])
    assert (transmittance(below, above) == np.rint(below * (255.0 - above) / 255.0)).all()


@pytest.mark.parametrize(
    ("width_px", "height_px", "rotation_deg"), [(40, 40, 0), (33, 71, 0), (150, 90, 0), (60, 60, 17)]
)
def test_a_white_object_on_black_stays_white(width_px, height_px, rotation_deg):
    source = disc(96, (255, 255, 255), (0, 0, 0))
    resized = resize_rgba(bleed(source), width_px, height_px, rotation_deg)
    assert (resized[resized[..., 3] > 0][:, :3] == 255).all()
    # Laid over white it disappears: no dark rim whatever the background.
    white = np.full((*resized.shape[:2], 3), 255, np.uint8)
    assert (blend(white, resized) == 255).all()
    # Even an input that was not bled, against the contract, gets no black fringe worth the name.
    assert blend(white, resize_rgba(source, width_px, height_px, rotation_deg)).min() >= 250


@pytest.mark.parametrize("rotation_deg", [0.0, 7.0])
@pytest.mark.parametrize("size_px", [41, 96, 130])
def test_an_object_of_one_colour_has_no_rim(size_px, rotation_deg):
    colour = np.array([180, 90, 30])
    resized = resize_rgba(bleed(disc(96, tuple(colour), (0, 0, 0))), size_px, size_px, rotation_deg)
    error = abs(resized[..., :3].astype(int) - colour).max(axis=-1)
    alpha = resized[..., 3]
    assert error[alpha == 255].max() <= 1
    # What can be seen of an error: premultiplied 8-bit colours are rounded once in each of three passes.
    assert (error * (alpha / 255)).max() <= 3


def test_an_opaque_picture_is_resized_as_any_other():
    rgb = generator(0, "tests", "opaque").integers(0, 256, (40, 50, 3), np.uint8)
    plain = cv2.resize(rgb, (23, 31), interpolation=cv2.INTER_AREA)
    resized = resize_rgba(np.dstack([rgb, np.full((40, 50), 255, np.uint8)]), 23, 31)
    assert (resized[..., 3] == 255).all()
    assert np.abs(resized[..., :3].astype(int) - plain).max() <= 1


@given(rgba_arrays(), st.integers(1, 30), st.integers(1, 30))
def test_resize_gives_the_size_asked_for(rgba, width_px, height_px):
    assert resize_rgba(rgba, width_px, height_px).shape == (height_px, width_px, 4)
    assert resize_alpha(rgba[..., 3], width_px, height_px).shape == (height_px, width_px)


def test_invisible_pixels_keep_bled_colour():
    picture = bleed(disc(96, (200, 120, 40), (0, 0, 0)))
    resized = resize_rgba(picture, 48, 48, 10)
    invisible = resized[resized[..., 3] == 0][:, :3].astype(int)
    assert invisible.size
    assert abs(invisible - (200, 120, 40)).max() <= 3


def test_resize_to_the_same_size_keeps_the_alpha():
    picture = bleed(disc(64, (10, 200, 90), (0, 0, 0)))
    assert (resize_rgba(picture, 64, 64)[..., 3] == picture[..., 3]).all()


@pytest.mark.parametrize("rotation_deg", [0.0, 5.0, -10.0])
def test_the_coarse_alpha_covers_what_the_fine_one_covers(rotation_deg):
    picture = disc(200, (9, 9, 9), (9, 9, 9))
    fine = resize_rgba(picture, 120, 120, rotation_deg)[..., 3].sum() / 255
    coarse = resize_alpha(picture[..., 3], 60, 60, rotation_deg).sum() / 255 * 4
    assert coarse == pytest.approx(fine, rel=0.01)


def test_bleed_is_that_of_layerdiffuse(shared_picture):
    given_rgba = np.asarray(Image.open(shared_picture("cutouts/pad_in.png")).convert("RGBA"))
    expected = np.asarray(Image.open(shared_picture("cutouts/pad_expected.png")).convert("RGB"))
    assert abs(bleed(given_rgba)[..., :3].astype(int) - expected).max() <= 1


@given(rgba_arrays())
def test_bleed_keeps_alpha_and_opaque_colour(rgba):
    rgba[0, 0, 3] = 255
    bled = bleed(rgba)
    assert (bled[..., 3] == rgba[..., 3]).all()
    opaque = rgba[..., 3] == 255
    assert abs(bled[opaque].astype(int) - rgba[opaque]).max() <= 1


@given(rgba_arrays(12), st.integers(0, 255))
def test_bleed_spreads_one_colour_everywhere(rgba, shade):
    rgba[..., :3] = shade
    rgba[0, 0, 3] = 255
    assert abs(bleed(rgba)[..., :3].astype(int) - shade).max() <= 1


def test_bleed_does_not_look_at_invisible_colour():
    one, two = (disc(50, (200, 100, 0), outside) for outside in ((0, 0, 0), (255, 0, 255)))
    assert (bleed(one) == bleed(two)).all()


def test_nothing_visible_is_refused():
    empty = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(ValueError, match="all-transparent"):
        bleed(empty)
    with pytest.raises(ValueError, match="all-transparent"):
        alpha_box(empty[..., 3])


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.sampled_from([0, 0, 0, 1, 255])))
def test_the_box_is_tight(alpha):
    alpha[alpha.shape[0] // 2, alpha.shape[1] // 2] = 1
    left, top, right, bottom = alpha_box(alpha)
    inside = alpha[top:bottom, left:right]
    assert inside.sum() == alpha.sum()
    assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
