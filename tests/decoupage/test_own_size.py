"""Foregrounds at the picture's own size: its colours where the object shows, the adapter's where it was hidden."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoupage.colours import own_colours
from decoupage.images.alpha import blend
from decoupage.images.sizes import working_geometry
from decoupage.own_size import enlargement, own_foreground
from decoupage.preparation import prepare, undo
from decoupage.rgba_values import clean_alpha

LEVELS = (0.0, 1.0)
BALL, POST = (0.8, 0.2, 0.1), (0.1, 0.2, 0.9)


def scene(size_px=256, soft_px=1.5):
    """A ball on a wall behind a post: (picture, wall with the post, the ball's true alpha, where it shows)."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size_px, :size_px] / size_px
    wall = (0.5 + 0.1 * rng.standard_normal((size_px, size_px, 3))).clip(0, 1).astype(np.float32)
    distance = np.hypot(rows - 0.5, columns - 0.45)
    alpha = ((0.25 - distance) * size_px / soft_px + 0.5).clip(0, 1).astype(np.float32)[..., None]
    ball = (np.array(BALL) + 0.1 * rng.standard_normal((size_px, size_px, 3))).clip(0, 1).astype(np.float32)
    post = ((columns > 0.55) & (columns < 0.65))[..., None]
    scenery = np.where(post, np.float32(POST), wall)
    picture = np.where(post, np.float32(POST), ball * alpha + wall * (1 - alpha)).astype(np.float32)
    picture = np.rint(picture * 255).astype(np.float32) / 255
    return picture, scenery.astype(np.float32), alpha[..., 0], (alpha[..., 0] > 0.5) & ~post[..., 0]


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).permute(2, 0, 1)[None]


def decoded(alpha, canvas_px, colour=BALL):
    """What a model gives that knows the shape, and of the colours only their mean."""
    geometry = working_geometry(alpha.shape, 16, canvas_px)
    rgba = np.dstack([np.broadcast_to(np.float32(colour), (*alpha.shape, 3)), alpha]).astype(np.float32)
    return geometry, tensor(geometry.rgba(rgba))


def own(picture, background, mask, rgba, geometry):
    given = tensor(picture), tensor(background), torch.from_numpy(mask)[None, None].float()
    found = own_foreground(rgba, prepare(picture, mask, {}, geometry), *given, LEVELS)
    return found[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("canvas_px", [64, 256])
def test_where_an_object_shows_alone_its_colour_is_the_pictures_bit_for_bit(canvas_px):
    picture, background, alpha, shows = scene()
    geometry, rgba = decoded(alpha, canvas_px)
    found = own(picture, background, shows, rgba, geometry)
    alone = shows & (found[..., 3] == 1)
    assert alone.sum() > 0.8 * shows.sum()
    assert np.array_equal(found[alone][:, :3], picture[alone])


@pytest.mark.parametrize("canvas_px", [64, 256])
def test_the_hidden_part_keeps_the_adapters_colour(canvas_px):
    picture, background, alpha, shows = scene()
    geometry, rgba = decoded(alpha, canvas_px)
    found = own(picture, background, shows, rgba, geometry)
    hidden = (alpha == 1) & ~shows
    plain = undo(rgba, geometry)[0].permute(1, 2, 0).numpy()
    assert hidden.sum() > 500
    assert np.array_equal(found[hidden][:, :3], plain[hidden][:, :3])


@pytest.mark.parametrize("canvas_px", [64, 256])
def test_recomposition_is_nearer_to_the_picture_than_with_the_adapters_colours(canvas_px):
    picture, background, alpha, shows = scene()
    geometry, rgba = decoded(alpha, canvas_px)
    plain = clean_alpha(undo(rgba, geometry), *LEVELS)[0].permute(1, 2, 0).numpy()
    errors = []
    for layer in (own(picture, background, shows, rgba, geometry), plain):
        levels, plate = (np.rint(each * 255).astype(np.uint8) for each in (layer, background))
        laid = blend(plate, levels).astype(float) / 255
        errors.append(np.abs(laid - picture)[shows | (alpha == 0)].mean())
    assert errors[0] < 0.5 * errors[1]


def test_no_background_bleeds_into_a_soft_edge():
    """Over green the foreground must not show the gray wall it stood before."""
    picture, background, alpha, shows = scene(soft_px=8)
    geometry, rgba = decoded(alpha, 256)
    found = own(picture, background, shows, rgba, geometry)
    edge = (found[..., 3] > 0.2) & (found[..., 3] < 1) & shows
    off, before = (np.abs(each[edge][:, :3].mean(axis=0) - BALL).mean() for each in (found, picture))
    assert off < 0.2 * before


def test_a_mask_that_missed_a_part_does_not_cost_its_colours():
    picture, background, alpha, shows = scene()
    cut = shows.copy()
    cut[:, :70] = False
    geometry, rgba = decoded(alpha, 64)
    found = own(picture, background, cut, rgba, geometry)
    missed = shows & ~cut & (found[..., 3] == 1)
    assert missed.sum() > 500
    assert np.array_equal(found[missed][:, :3], picture[missed])


def test_a_mask_that_covers_too_much_adds_nothing():
    picture, background, alpha, _ = scene()
    wide = np.zeros(alpha.shape, bool)
    wide[40:216, 30:210] = True
    geometry, rgba = decoded(alpha, 64)
    found = own(picture, background, wide, rgba, geometry)
    assert not found[..., 3][np.hypot(*(np.mgrid[:256, :256] - np.array([128, 115])[:, None, None])) > 76].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1, 12))
def test_colours_stay_in_range_and_alpha_as_it_was(seed, enlarged):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 24, 2))
    rgba = rng.random((*size, 4), np.float32)
    rgba[..., 3] = rng.choice(np.array([0, 1, rng.random()], np.float32), size)
    picture, background = (rng.random((*size, 3), np.float32) for _ in range(2))
    shows = rng.random(size) < 0.7
    found = own_colours(rgba, picture, background, shows, enlarged)
    assert found.min() >= 0 and found.max() <= 1 and np.array_equal(found[..., 3], rgba[..., 3])
    assert np.array_equal(found[~shows], rgba[~shows])
    alone = shows & (rgba[..., 3] == 1)
    assert np.array_equal(found[alone][:, :3], picture[alone])


@pytest.mark.parametrize("size", [(5, 7), (7, 5), (1, 300), (300, 3), (40, 900)])
def test_pictures_of_any_shape_come_out_at_their_size(size):
    rng = np.random.default_rng(1)
    picture, mask = rng.random((*size, 3), np.float32), np.zeros(size, bool)
    mask[: max(1, size[0] // 2), : max(1, size[1] // 2)] = True
    geometry = working_geometry(size, 16, 64)
    rgba = torch.rand(1, 4, *geometry.canvas_px)
    found = own(picture, picture, mask, rgba, geometry)
    assert found.shape == (*size, 4) and found.min() >= 0 and found.max() <= 1


def test_how_much_larger_a_picture_is():
    assert enlargement(working_geometry((1024, 1024), 16, 128)) == 8
    assert enlargement(working_geometry((64, 64), 16, 128)) == 1
