"""The rules by which pictures, cutouts and masks change size, and the size that a model works at."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.images.sizes import (
    bounded_size,
    plan_geometry,
    resize_labels,
    resize_mask,
    resize_picture,
    resize_rgba,
    resize_values,
)

sides = st.integers(1, 90)


def picture_of(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


# --- rules ------------------------------------------------------------------------------------------------------


@given(sides, sides, sides, sides, st.integers(0, 9))
def test_every_rule_gives_the_size_the_type_and_the_range_that_it_was_given(height, width, new_height, new_width, seed):
    size = (new_height, new_width)
    for channels in ((), (1,), (3,)):
        values = picture_of(height, width, *channels, seed=seed)
        for picture in (values, (values * 255).astype(np.uint8)):
            resized = resize_picture(picture, size)
            assert resized.shape == (*size, *channels) and resized.dtype == picture.dtype
            assert resized.min() >= 0 and resized.max() <= (1 if picture.dtype == np.float32 else 255)
    rgba = picture_of(height, width, 4, seed=seed)
    assert resize_rgba(rgba, size).shape == (*size, 4) and 0 <= resize_rgba(rgba, size).min() <= 1
    values = picture_of(height, width, seed=seed)
    resized = resize_values(values, size)
    assert resized.shape == size and values.min() <= resized.min() and resized.max() <= values.max()


@given(sides, sides)
def test_at_its_own_size_nothing_changes(height, width):
    size = (height, width)
    rgba = picture_of(*size, 4)
    assert resize_picture(rgba[..., :3], size).base is rgba and resize_rgba(rgba, size) is rgba
    mask = rgba[..., 0] > 0.5
    assert (resize_mask(mask, size) == mask).all() and (resize_labels(rgba[..., 1], size) == rgba[..., 1]).all()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_by_whole_factors_pictures_are_block_means_and_masks_count_pixels(rows, columns, down, across, seed):
    picture = picture_of(rows * down, columns * across, 3, seed=seed)
    blocks = picture.reshape(rows, down, columns, across, 3).mean(axis=(1, 3))
    assert np.allclose(resize_picture(picture, (rows, columns)), blocks, atol=1e-5)
    mask = picture[..., 0] > 0.6
    share = mask.reshape(rows, down, columns, across).mean(axis=(1, 3))
    for rule, want in (("touched", share > 0), ("half", share >= 0.5), ("covered", share == 1)):
        # A mask with pixels keeps some: those that are covered most.
        expected = want if want.any() else (share == share.max()) & mask.any()
        assert (resize_mask(mask, (rows, columns), rule) == expected).all(), rule


def test_uint8_and_float_forms_of_a_picture_agree():
    picture = (picture_of(37, 53, 4) * 255).astype(np.uint8)
    for size in ((12, 20), (80, 90), (20, 90)):
        for resize, channels in ((resize_picture, 3), (resize_rgba, 4)):
            levels = resize(picture[..., :channels], size).astype(float)
            floats = resize(picture[..., :channels].astype(np.float32) / 255, size) * 255
            visible = levels[..., 3] > 0 if channels == 4 else np.ones(size, bool)
            assert np.abs(levels - floats)[visible].max() <= 0.51


def test_one_pixel_of_a_mask_is_not_lost_and_none_stays_none():
    mask = np.zeros((100, 100), bool)
    mask[37, 61] = True
    for rule in ("touched", "half", "covered"):
        small = resize_mask(mask, (10, 10), rule)
        assert small.sum() == 1 and small[3, 6]
        assert not resize_mask(np.zeros((100, 100), bool), (10, 10), rule).any()
        assert resize_mask(np.ones((100, 100), bool), (7, 9), rule).all()


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 99))
def test_no_colour_from_inside_a_mask_is_outside_what_it_touches(old, new, seed):
    rng = np.random.default_rng(seed)
    picture, mask = rng.random((*old, 3), np.float32), rng.random(old) < 0.1
    other = np.where(mask[..., None], 1 - picture, picture)
    change = np.abs(resize_picture(other, new) - resize_picture(picture, new)).max(axis=-1)
    assert change[~resize_mask(mask, new, "touched")].max(initial=0.0) < 1e-6


@given(st.sampled_from([(12, 4), (12, 5), (16, 3), (64, 1), (4, 12), (5, 9)]), st.integers(0, 99))
def test_labels_are_those_at_the_centres(side_and_new, seed):
    side, new = side_and_new
    labels = np.random.default_rng(seed).integers(0, 250, (side, side), np.uint8)
    centres = [int((i + 0.5) * side / new + 1e-6) for i in range(new)]
    assert (resize_labels(labels, (new, new)) == labels[np.ix_(centres, centres)]).all()


def test_a_cutout_has_no_dark_rim_at_any_size():
    rgba = np.zeros((32, 32, 4), np.float32)
    rgba[:, :16] = (1, 0.5, 0.25, 1)
    rgba[:, 16:, :3] = (1, 0.5, 0.25)  # Bled colour.
    for size in ((50, 50), (11, 13), (31, 60)):
        back = resize_rgba(rgba, size)
        visible = back[..., 3] > 0.02
        assert np.abs(back[visible][:, :3] - (1, 0.5, 0.25)).max() < 0.01
    black = rgba.copy()
    black[:, 16:, :3] = 0
    back = resize_rgba(black, (50, 50))
    assert back[..., 0][back[..., 3] > 0.05].min() > 0.98


def test_a_picture_much_larger_is_averaged_and_not_sampled():
    fine = np.indices((400, 400)).sum(axis=0) % 2
    picture = np.repeat(fine[..., None].astype(np.float32), 3, axis=2)
    assert np.abs(resize_picture(picture, (100, 100)) - 0.5).max() < 1e-5


def test_alpha_keeps_its_mass():
    rgba = picture_of(96, 96, 4)
    alpha = cv2.resize(rgba[..., 3], (24, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(resize_rgba(rgba, (24, 24))[..., 3] - alpha).max() < 1e-6


# --- geometry ---------------------------------------------------------------------------------------------------


@given(sides, sides, st.sampled_from([1, 8, 16, 64]), st.sampled_from([1, 3, 4]))
def test_without_scaling_there_and_back_is_exact(height, width, multiple, channels):
    picture = picture_of(height, width, channels)
    geometry = plan_geometry((height, width), multiple)
    there = geometry.rgba(picture) if channels == 4 else geometry.picture(picture)
    assert there.shape[0] % multiple == there.shape[1] % multiple == 0
    assert there.shape[0] - height < multiple and there.shape[1] - width < multiple
    assert np.array_equal(geometry.undo(there), picture)


@given(sides, sides, st.sampled_from([8, 16]), st.integers(256, 9000))
def test_a_bound_on_pixels_holds_and_the_way_back_has_the_input_size(height, width, multiple, max_pixels):
    mask = np.zeros((height, width), bool)
    mask[height // 2, width // 2] = True
    geometry = plan_geometry((height, width), multiple, max_pixels)
    canvas = geometry.canvas_px
    assert geometry.picture(picture_of(height, width, 3)).shape == (*canvas, 3)
    assert canvas[0] * canvas[1] <= max_pixels and canvas[0] % multiple == canvas[1] % multiple == 0
    for rule in ("touched", "half", "covered"):  # However thin the object, it is still there.
        fitted = geometry.mask(mask, rule)
        assert fitted.shape == canvas and fitted.any()
    for channels in (1, 3, 4):
        assert geometry.undo(picture_of(*canvas, channels)).shape == (height, width, channels)


def test_the_padding_repeats_the_edge_and_lies_outside_the_mask():
    picture, mask = picture_of(5, 6, 3), np.ones((5, 6), bool)
    geometry = plan_geometry((5, 6), 8)
    there, fitted = geometry.picture(picture), geometry.mask(mask, "half")
    assert (there[5:, :6] == picture[-1:]).all() and (there[:, 6:] == there[:, 5:6]).all()
    assert fitted[:5, :6].all() and fitted.sum() == 30


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(5000, 2**20))
def test_a_bounded_size_keeps_the_aspect_and_never_grows(height, width, max_pixels):
    size = bounded_size((height, width), max_pixels)
    assert size[0] * size[1] <= max_pixels and size[0] <= height and size[1] <= width
    assert abs(size[0] - size[1] * height / width) <= 0.5 + height / width * 0.5 or min(size) == 1
    if height * width <= max_pixels:
        assert size == (height, width)


def test_scaling_down_and_back_keeps_a_smooth_picture():
    ramp = np.tile(np.linspace(0.1, 0.9, 160, dtype=np.float32)[None, :, None], (120, 1, 3))
    geometry = plan_geometry((120, 160), 16, 64 * 48)
    assert np.abs(geometry.undo(geometry.picture(ramp)) - ramp)[:, 4:-4].max() < 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"multiple": 0}, "multiple must be at least 1, got 0"),
        ({"multiple": 16, "max_pixels": 255}, "at least 256"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_geometry((20, 30), **arguments)


def test_a_result_of_another_size_is_refused_by_name():
    with pytest.raises(ValueError, match="must be 8x8 px, got 8x6 px"):
        plan_geometry((6, 8), 8).undo(picture_of(6, 8, 3))
