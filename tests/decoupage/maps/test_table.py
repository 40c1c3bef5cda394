"""Maps as the pictures that the VAE encodes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.images.reading import open_image
from decoupage.maps.choose import make_makers, maker_of
from decoupage.maps.config import MapsConfig
from decoupage.maps.table import (
    FLAT,
    MAPS,
    UNLABELLED,
    decode_maps,
    depth_picture,
    edges_picture,
    palette,
    segmentation_picture,
)

SIZE = (16, 24)
LABELS = np.arange(16 * 24, dtype=np.int64).reshape(SIZE) % 150


def stored_maps() -> dict[str, np.ndarray]:
    depth = np.linspace(0, 65535, 8 * 12).reshape(8, 12).astype(np.uint16)
    return {"depth": depth, "edges": np.eye(16, 24, dtype=bool), "segmentation": LABELS.astype(np.uint8)}


@pytest.mark.parametrize("name", MAPS)
def test_pictures_have_the_size_and_the_range(name: str):
    for size in ((32, 48), (5, 7), (40, 7)):
        picture = MAPS[name].picture(stored_maps()[name], size)
        assert picture.shape == (*size, 3) and picture.dtype == np.float32
        assert picture.min() >= -1 and picture.max() <= 1


def test_every_map_has_a_maker_that_its_recipe_brings_back():
    for maker in make_makers(MapsConfig()):
        assert maker_of(maker.name, maker.recipe).recipe == maker.recipe
    assert tuple(maker.name for maker in make_makers(MapsConfig())) == tuple(MAPS)
    nets = {"segmentation": {"model": "segformer"}, "depth": {"model": "depth_anything_v2"}}
    for maker in make_makers(MapsConfig.model_validate(nets)):
        assert maker_of(maker.name, maker.recipe).recipe == maker.recipe
    with pytest.raises(ValueError, match="this version makes them by"):
        maker_of("edges", {"model": "sobel", "low": 100, "high": 200})
    with pytest.raises(ValueError, match="no maker has the recipe"):
        maker_of("depth", {"model": "midas"})


def test_stored_pngs_have_the_pixels_that_the_table_says():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    pngs = {maker.name: maker.pngs([rgb])[0] for maker in make_makers(MapsConfig())}
    for name, row in MAPS.items():
        image = open_image(pngs[name])
        assert image.mode == row.mode and (image.size == (48, 64) or not row.full_size)
        assert row.show(row.decode(pngs[name])).dtype == np.uint8
    assert list(decode_maps({f"{name}.png": png for name, png in pngs.items()})) == list(MAPS)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32])
def test_edges_of_any_type_are_black_and_white(dtype: type):
    edges = np.zeros(SIZE, dtype)
    edges[4] = np.array(255).astype(dtype)
    picture = edges_picture(edges, SIZE)
    assert (picture[4] == 1).all()
    assert (picture[:4] == -1).all() and (picture[5:] == -1).all()


@given(row=st.integers(0, 63), height=st.integers(8, 90), width=st.integers(8, 90), across=st.booleans())
def test_a_line_of_one_pixel_is_broken_by_no_resize(row: int, height: int, width: int, across: bool):
    edges = np.zeros((64, 64), bool)
    edges[row] = True
    size = (height, width) if across else (width, height)
    picture = edges_picture(edges if across else edges.T, size)[..., 0]
    picture = picture if across else picture.T
    assert np.allclose(picture, picture[:, :1], atol=1e-6)
    # What the line covers of the picture stays, or grows where whole pixels are repeated.
    share = ((picture[:, 0] + 1) / 2).mean()
    assert share > 0.5 / 64
    assert height < 64 or (np.abs(picture) > 1 - 1e-5).all()


def test_lines_close_together_stay_apart_from_a_solid_area():
    edges = np.zeros((64, 64), bool)
    edges[:32, ::4] = True
    edges[32:] = True
    picture = edges_picture(edges, (16, 16))[..., 0]
    assert picture[:6].max() < 0 and picture[10:].min() == 1


def test_colours_are_those_of_pascal_voc():
    # From the data set's own devkit: background, aeroplane, bicycle, bird, ..., tv monitor, void.
    published = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128)}
    published |= {20: (0, 64, 128), 255: (224, 224, 192)}
    assert {label: tuple(palette()[label].tolist()) for label in published} == published


def test_colours_are_told_apart_and_neighbouring_numbers_are_far():
    colours = palette().astype(float)
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    assert (distances + np.eye(256) * 1e3).min() >= 32
    for step in (1, 2, 3, 4):
        assert np.diagonal(distances, step).min() > 110


def test_labels_come_back_from_the_picture_that_only_holds_colours_of_the_palette():
    picture = segmentation_picture(LABELS, (48, 72))
    levels = np.rint((picture + 1) * 127.5).astype(np.uint8)
    labels = (levels[..., None, :] == palette()).all(-1).argmax(-1)
    assert (labels == LABELS.repeat(3, 0).repeat(3, 1)).all()


def test_minus_one_is_unlabelled():
    signed = segmentation_picture(np.array([[0, -1], [-1, 7]], np.int8), (2, 2))
    assert (signed == segmentation_picture(np.array([[0, UNLABELLED], [255, 7]], np.uint8), (2, 2))).all()


def test_depth_spans_minus_one_to_one_whatever_its_scale_and_offset():
    depth = np.random.default_rng(0).random((9, 11), np.float32)
    picture = depth_picture(depth, (9, 11))
    assert (picture.min(), picture.max()) == (-1, 1)
    assert np.allclose(depth_picture(depth * np.float32(0.3) + np.float32(0.5), (9, 11)), picture, atol=1e-5)
    # The order of near and far stays.
    assert (picture[..., 0].ravel().argsort() == depth.ravel().argsort()).all()


def test_a_small_thing_close_by_keeps_its_own_nearness():
    depth = np.full((64, 64), 0.2, np.float32)
    depth[0, 0] = 0.0
    depth[30:34, 30:34] = 0.6  # 0.4% of the picture
    depth[31, 31] = 1.0
    picture = depth_picture(depth, (64, 64))[..., 0]
    assert picture[31, 31] == 1 and picture[30, 30] == pytest.approx(0.2, abs=1e-6)


def test_stored_depth_that_spans_the_whole_range_stays_as_it_is():
    stored = stored_maps()["depth"]
    picture = depth_picture(stored, stored.shape)[..., 0].astype(float)
    assert np.abs((picture + 1) / 2 * 65535 - stored).max() < 0.01
    assert (depth_picture(stored, stored.shape) == depth_picture(stored / np.float32(65535), stored.shape)).all()


@pytest.mark.parametrize("level", [0.0, 0.37, 1.0])
def test_flat_depth_is_mid_gray(level: float):
    depth = np.full((8, 8), level, np.float32)
    depth[0, 0] += FLAT / 2 * (1 if level < 0.5 else -1)
    assert (depth_picture(depth, (5, 20)) == 0).all()
    depth[0] = 0.5
    picture = depth_picture(depth, (5, 20))
    assert np.isfinite(picture).all() and np.abs(picture).max() > 0.9


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 9))
def test_depth_of_any_size_stays_in_range(height: int, width: int, seed: int):
    depth = np.random.default_rng(seed).random((13, 17), np.float32)
    picture = depth_picture(depth, (height, width))
    assert picture.shape == (height, width, 3)
    assert np.isfinite(picture).all() and np.abs(picture).max() <= 1


@pytest.mark.parametrize(
    ("name", "stored", "message"),
    [
        ("edges", np.zeros(SIZE, np.float32), "edges must be bool or integers"),
        ("edges", np.zeros((*SIZE, 3), bool), "edges must be [H, W]"),
        ("edges", np.zeros((0, 4), bool), "edges must be [H, W]"),
        ("edges", [[True]], "edges must be [H, W] with pixels, got list"),
        ("segmentation", np.zeros(SIZE, np.float32), "segmentation must be integer labels"),
        ("segmentation", np.full(SIZE, 256), "segmentation labels must be in [0, 255] or -1, got 256 to 256"),
        ("segmentation", np.full(SIZE, -2), "segmentation labels must be in [0, 255] or -1, got -2 to -2"),
        ("depth", np.full(SIZE, 2.5, np.float32), "depth must be in [0, 1] with 1 = near, got 2.5 to 2.5"),
        ("depth", np.full(SIZE, np.nan, np.float32), "depth must be in [0, 1]"),
        ("depth", np.zeros(SIZE, np.int64), "depth must be float, uint8 or uint16"),
    ],
)
def test_what_is_no_map_is_refused(name: str, stored: object, message: str):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared below)
        MAPS[name].picture(stored, SIZE)
    assert message in str(raised.value)


def test_maps_of_a_real_photograph(shared_picture: Callable[[str], Path]):
    from PIL import Image

    photo = sorted(shared_picture("photos").glob("*.jpg"))[0]
    rgb = np.asarray(Image.open(photo).convert("RGB").resize((256, 192)))
    members = {f"{maker.name}.png": maker.pngs([rgb])[0] for maker in make_makers(MapsConfig())}
    for name, stored in decode_maps(members).items():
        picture = MAPS[name].picture(stored, (192, 256))
        assert picture.shape == (192, 256, 3)
        assert picture.std() > 0.1, name
