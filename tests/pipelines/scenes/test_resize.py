"""Smaller scenes: exact recomposition, the same shapes, no lost layers."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoupage.images.alpha import divide_by_255
from pipelines.scenes.parts import Layer, SceneParts
from pipelines.scenes.resize import resize_mask, resized
from pipelines.shards.reader import Maps, triplet_of
from tests.pipelines.dataset.discs import SIZE_PX, disc, make_parts, spoilt

SIZES = st.integers(1, SIZE_PX)


def scene(key: int) -> SceneParts:
    """Discs on a gradient, with masks."""
    bare = make_parts(f"{key:08d}")
    masks = tuple(spoilt(bare.visible_mask(i), "dilation") for i in range(len(bare.layers)))
    return SceneParts(bare.key, bare.background, bare.layers, {"layers": "as stored"}, masks)


@given(st.integers(0, 50), SIZES)
@settings(max_examples=40, deadline=None)
def test_a_smaller_scene_recomposes_exactly(key: int, size_px: int) -> None:
    small = resized(scene(key), size_px)
    assert small.size == (size_px, size_px) and small.composite.shape == (size_px, size_px, 3)
    top = len(small.layers) - 1
    foreground, behind = small.foreground(top).astype(np.uint16), small.flatten(without=top).astype(np.uint16)
    alpha = foreground[..., 3:]
    laid_over = divide_by_255(foreground[..., :3] * alpha + behind * (np.uint16(255) - alpha))
    assert (laid_over == small.composite).all()
    for i, layer in enumerate(small.layers):
        left, top_px, right, bottom = layer.box
        assert 0 <= left < right <= size_px and 0 <= top_px < bottom <= size_px
        assert layer.rgba.shape == (bottom - top_px, right - left, 4)
        mask = small.imperfect_masks[i]
        assert mask.shape == (size_px, size_px) and mask.dtype == bool
        assert small.visible_mask(i).shape == (size_px, size_px)


@given(st.integers(0, 50), SIZES)
@settings(max_examples=40, deadline=None)
def test_alpha_keeps_its_mass_and_its_place(key: int, size_px: int) -> None:
    parts = scene(key)
    small = resized(parts, size_px)
    for i in range(len(parts.layers)):
        want = cv2.resize(parts.amodal_alpha(i).astype(np.float64), (size_px, size_px), interpolation=cv2.INTER_AREA)
        assert np.abs(small.amodal_alpha(i) - want).max() <= 0.51  # Rounded once.


@given(st.integers(0, 50), st.sampled_from([48, 32, 24, 36]))
@settings(max_examples=20, deadline=None)
def test_a_smaller_scene_looks_as_the_smaller_picture(key: int, size_px: int) -> None:
    parts = scene(key)
    small = resized(parts, size_px)
    want = cv2.resize(parts.composite, (size_px, size_px), interpolation=cv2.INTER_AREA)
    # They differ only where several edges meet in one pixel.
    assert np.abs(small.composite.astype(int) - want).mean() < 1.0


def test_colours_beside_the_shape_are_bled_not_black() -> None:
    rgba = disc(20, (240, 200, 30), 255)  # The disc's colour goes on where it is invisible.
    parts = SceneParts("k", np.zeros((96, 96, 3), np.uint8), (Layer(rgba, (7, 9, 48, 50)),), {})
    for size_px in (95, 60, 31, 24):
        assert np.abs(resized(parts, size_px).layers[0].rgba[..., :3].astype(int) - (240, 200, 30)).max() <= 4


def test_at_its_own_size_a_scene_is_returned_as_it_is() -> None:
    parts = scene(2)
    assert resized(parts, SIZE_PX) is parts
    mask = parts.imperfect_masks[0]
    assert (resize_mask(mask, SIZE_PX) == mask).all()


def test_a_layer_that_vanishes_keeps_its_number_and_a_box() -> None:
    speck = Layer(np.full((1, 1, 4), 200, np.uint8), (95, 0, 96, 1))
    mask = np.zeros((96, 96), bool)
    mask[0, 95] = True
    others = scene(2)
    masks = (mask, *others.imperfect_masks)
    parts = SceneParts("k", np.zeros((96, 96, 3), np.uint8), (speck, *others.layers), {}, masks)
    small = resized(parts, 4)
    assert small.layers[0].box == (3, 0, 4, 1) and not small.amodal_alpha(0).any()
    assert (small.flatten(without=0) == small.composite).all() and not small.visible_mask(0).any()
    # Its mask still says where to look.
    assert small.imperfect_masks[0][0, 3] and small.imperfect_masks[0].sum() == 1
    assert small.occluded_fraction(0) == 1.0


def test_masks_are_what_is_covered_by_half() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:4, :2] = True  # Half of the first pixel, of two by two.
    mask[4:, 4] = True  # A quarter of the last one.
    assert resize_mask(mask, 2).tolist() == [[True, False], [False, False]]
    mask[:4] = False
    assert resize_mask(mask, 2).tolist() == [[False, False], [False, True]]
    assert not resize_mask(np.zeros((8, 8), bool), 2).any()


@given(st.integers(0, 2**32 - 1), st.sampled_from([(12, 4), (12, 5), (16, 3), (64, 1)]))
@settings(max_examples=40, deadline=None)
def test_maps_keep_every_edge_only_true_labels_and_the_mean_depth(seed: int, sides: tuple[int, int]) -> None:
    side_px, size_px = sides
    rng = np.random.default_rng(seed)
    maps = Maps(
        rng.random((side_px, side_px)) < 0.05,
        rng.integers(0, 250, (side_px, side_px), np.uint8),
        rng.random((side_px, side_px), np.float32),
    )
    small = maps.resized(size_px)
    scale = side_px / size_px
    want = np.zeros((size_px, size_px), bool)
    for y, x in zip(*np.nonzero(maps.edges), strict=True):
        want[int(y / scale) : int(np.ceil((y + 1) / scale)), int(x / scale) : int(np.ceil((x + 1) / scale))] = True
    assert (small.edges == want).all()
    centres = [int((i + 0.5) * scale + 1e-6) for i in range(size_px)]
    assert (small.segmentation == maps.segmentation[np.ix_(centres, centres)]).all()
    assert small.depth.dtype == np.float32 and small.depth.mean() == pytest.approx(maps.depth.mean(), abs=1e-4)
    assert maps.resized(side_px) is maps


def test_a_triplet_of_a_smaller_scene_is_whole() -> None:
    parts = scene(2)
    empty = np.zeros((SIZE_PX, SIZE_PX))
    maps = Maps(empty.astype(bool), empty.astype(np.uint8), empty.astype(np.float32))
    triplet = triplet_of(resized(parts, 24), maps.resized(24), 1)
    assert triplet.composite.shape == triplet.background.shape == (24, 24, 3)
    assert triplet.mask.shape == triplet.edges.shape == (24, 24) and triplet.foreground.shape == (24, 24, 4)
    assert triplet.record == {"layers": "as stored"}


@pytest.mark.parametrize("size_px", [0, SIZE_PX + 1])
def test_other_sizes_are_refused(size_px: int) -> None:
    with pytest.raises(ValueError, match=rf"size_px must be in \[1, {SIZE_PX}\], .* got {size_px}"):
        resized(scene(0), size_px)
    with pytest.raises(ValueError, match=r"only square scenes can be resized, this one has 6x4 px"):
        resized(SceneParts("k", np.zeros((4, 6, 3), np.uint8), (), {}), 2)
