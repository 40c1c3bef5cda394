"""Edges, regions and depth of single pictures."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from decoupage.images.codecs import decode_gray, decode_mask, decode_rgb
from decoupage.maps.choose import make_makers
from decoupage.maps.depth import DarkChannel, guided_filter, to_uint16
from decoupage.maps.edges import CannyEdges
from decoupage.maps.maker import shrink
from decoupage.maps.segmentation import Felzenszwalb, number_by_appearance
from pipelines.config import DepthConfig, EdgesConfig, MapsConfig, SegmentationConfig

PHOTOS = Path(__file__).parents[3].parent / "shared/data/photos"


def square() -> np.ndarray:
    picture = np.full((64, 96, 3), 40, np.uint8)
    picture[16:48, 20:60] = (220, 200, 180)
    return picture


def test_edges_are_the_outline_of_a_square_at_full_size():
    png = CannyEdges(EdgesConfig()).pngs([square()])[0]
    edges = decode_mask(png)
    assert Image.open(io.BytesIO(png)).mode == "1"
    assert edges.shape == (64, 96)
    rows, columns = np.nonzero(edges)
    assert abs(rows.min() - 16) <= 1 and abs(rows.max() - 47) <= 1
    assert abs(columns.min() - 20) <= 1 and abs(columns.max() - 59) <= 1
    assert not edges[20:44, 24:56].any()


def test_regions_are_the_square_and_its_surroundings():
    labels = Felzenszwalb(SegmentationConfig(size_px=96)).labels([square()])[0]
    assert labels.shape == (64, 96)
    assert labels[0, 0] == 0
    assert labels[30, 40] != labels[0, 0]
    assert (labels[18:46, 22:58] == labels[30, 40]).all()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 48), st.integers(1, 48), st.just(3))), st.floats(0.004, 0.3))
@settings(max_examples=40, deadline=None)
def test_any_picture_has_regions_that_fit_and_count_from_zero(picture, share):
    config = SegmentationConfig(size_px=32, min_region_share=share)
    labels = Felzenszwalb(config).labels([picture])[0]
    counts = np.bincount(labels.ravel())
    assert labels.dtype == np.uint8
    assert max(labels.shape) <= 32
    assert (counts >= share * labels.size).all()
    firsts = [int(np.flatnonzero(labels.ravel() == label)[0]) for label in range(counts.size)]
    assert firsts == sorted(firsts)


def test_a_picture_of_equal_edge_weights_gives_the_same_bytes_twice():
    # Two runs on one machine; that another processor's sorting gives them too is not shown here.
    picture = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((4, 4))).astype(np.uint8)[..., None].repeat(3, 2) * 255
    maker = Felzenszwalb(SegmentationConfig(size_px=32))
    assert maker.pngs([picture]) == maker.pngs([picture.copy()])


def test_more_regions_than_labels_are_refused():
    assert (
        number_by_appearance(np.arange(256).reshape(16, 16)[::-1]).tolist() == np.arange(256).reshape(16, 16).tolist()
    )
    with pytest.raises(ValueError, match="at most 256 regions, got 257"):
        number_by_appearance(np.arange(257)[None])


def test_hazy_part_is_farther_than_clear_part():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    picture[:32] = 200 + picture[:32] // 5
    depth = DarkChannel(DepthConfig(size_px=64)).depth([picture])[0]
    assert depth.dtype == np.float32
    assert depth.min() >= 0.0 and depth.max() <= 1.0
    assert depth[:24].mean() < 0.3
    assert depth[40:].mean() > 0.7


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
@settings(max_examples=40, deadline=None)
def test_any_picture_has_a_depth_that_survives_its_png(picture):
    maker = DarkChannel(DepthConfig(size_px=32))
    depth = maker.depth([picture])[0]
    stored = decode_gray(maker.pngs([picture])[0])
    assert stored.dtype == np.uint16
    assert np.isfinite(depth).all()
    assert np.abs(stored / 65535.0 - depth).max() <= 0.5 / 65535 + 1e-7


def test_flat_picture_is_neither_near_nor_far():
    depth = DarkChannel(DepthConfig(size_px=32)).depth([np.full((32, 32, 3), 90, np.uint8)])[0]
    assert (depth == 0.5).all()


def test_depth_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"depth must be in \[0, 1\]"):
        to_uint16(np.array([[0.0, 1.5]], np.float32))
    with pytest.raises(ValueError, match="depth must be"):
        to_uint16(np.array([[0.0, np.nan]], np.float32))


def test_guided_filter_keeps_the_guides_edge_and_smooths_elsewhere():
    guide = np.zeros((40, 40), np.float32)
    guide[:, 20:] = 1.0
    noisy = guide + np.random.default_rng(0).normal(0, 0.1, guide.shape).astype(np.float32)
    smooth = guided_filter(guide, noisy, radius_px=5, noise=1e-3)
    assert smooth[:, :20].std() < 0.05 and smooth[:, 20:].std() < 0.05
    assert (smooth[:, 20] - smooth[:, 19]).min() > 0.8


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64))
@settings(max_examples=50, deadline=None)
def test_shrunk_pictures_have_the_side_asked_for(height, width, side):
    shape = shrink(np.zeros((height, width, 3), np.uint8), side).shape
    assert max(shape[:2]) == min(side, max(height, width))
    assert min(shape[:2]) >= 1


def test_a_list_gives_the_same_as_one_by_one():
    pictures = [square(), square()[:, ::-1].copy(), square()[:40]]
    for maker in make_makers(MapsConfig()):
        assert maker.pngs(pictures) == [maker.pngs([picture])[0] for picture in pictures]


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="real photographs are absent")
def test_street_has_a_far_sky_and_plausible_regions():
    picture = shrink(decode_rgb((PHOTOS / "street.jpg").read_bytes()), 512)
    depth = DarkChannel(DepthConfig()).depth([picture])[0]
    labels = Felzenszwalb(SegmentationConfig()).labels([picture])[0]
    edges = CannyEdges(EdgesConfig()).edges(picture)
    top, bottom = depth[: len(depth) // 8].mean(), depth[-len(depth) // 4 :].mean()
    assert top < 0.4 and bottom > 0.6
    assert 8 < labels.max() < 150
    assert 0.02 < edges.mean() < 0.25
