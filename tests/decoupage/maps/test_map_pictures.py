"""Maps as the pictures that the VAE encodes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoupage.maps.pictures import (
    FLAT,
    MAPS,
    UNLABELLED,
    depth_picture,
    edges_picture,
    map_pictures,
    palette,
    segmentation_picture,
)

SIZE = (16, 24)
LABELS = np.arange(16 * 24, dtype=np.int64).reshape(SIZE) % 150


def stored_maps() -> dict[str, np.ndarray]:
    depth = np.linspace(0, 65535, 8 * 12).reshape(8, 12).astype(np.uint16)
    return {"depth": depth, "edges": np.eye(16, 24, dtype=bool), "segmentation": LABELS.astype(np.uint8)}


def test_pictures_in_the_fixed_order_size_and_range():
    pictures = map_pictures(stored_maps(), (32, 48))
    assert tuple(pictures) == MAPS
    for picture in pictures.values():
        assert picture.shape == (1, 3, 32, 48) and picture.dtype == torch.float32
        assert picture.min() >= -1 and picture.max() <= 1


def test_any_subset_even_none():
    assert map_pictures({}, SIZE) == {}
    assert list(map_pictures({"depth": stored_maps()["depth"]}, SIZE)) == ["depth"]


def test_names_are_those_of_the_stages_that_make_the_maps():
    from decoupage.maps.choose import make_makers
    from pipelines.config import MapsConfig

    assert tuple(maker.name for maker in make_makers(MapsConfig())) == MAPS


@pytest.mark.parametrize("name", MAPS)
def test_arrays_and_tensors_single_and_batched_agree(name: str):
    stored = stored_maps()[name]
    single = map_pictures({name: stored}, (12, 20))[name]
    batch = map_pictures({name: torch.from_numpy(np.stack([stored, stored[::-1]]))}, (12, 20))[name]
    backwards = map_pictures({name: stored[::-1]}, (12, 20))[name]
    assert torch.equal(batch, torch.cat([single, backwards]))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32])
def test_edges_of_any_type_are_black_and_white(dtype: type):
    edges = np.zeros(SIZE, dtype)
    edges[4] = np.array(255).astype(dtype)
    picture = edges_picture(edges, SIZE)
    assert (picture[:, :, 4] == 1).all()
    assert (picture[:, :, :4] == -1).all() and (picture[:, :, 5:] == -1).all()


@given(row=st.integers(0, 63), height=st.integers(8, 90), width=st.integers(8, 90), across=st.booleans())
def test_a_line_of_one_pixel_is_broken_by_no_resize(row: int, height: int, width: int, across: bool):
    edges = torch.zeros(64, 64, dtype=torch.bool)
    edges[row] = True
    size = (height, width) if across else (width, height)
    picture = edges_picture(edges if across else edges.T, size)[0, 0]
    picture = picture if across else picture.T
    assert torch.allclose(picture, picture[:, :1].expand_as(picture), atol=1e-6)
    # What the line covers of the picture stays, or grows where whole pixels are repeated.
    share = ((picture[:, 0] + 1) / 2).mean().item()
    assert share > 0.5 / 64
    assert height < 64 or (picture.abs() > 1 - 1e-5).all()


def test_lines_close_together_stay_apart_from_a_solid_area():
    edges = torch.zeros(64, 64, dtype=torch.bool)
    edges[:32, ::4] = True
    edges[32:] = True
    picture = edges_picture(edges, (16, 16))[0, 0]
    assert picture[:6].max() < 0 and picture[10:].min() == 1


def test_colours_are_those_of_pascal_voc():
    # From the data set's own devkit: background, aeroplane, bicycle, bird, ..., tv monitor, void.
    published = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128)}
    published |= {20: (0, 64, 128), 255: (224, 224, 192)}
    assert {label: tuple(palette()[label].tolist()) for label in published} == published


def test_colours_are_told_apart_and_neighbouring_numbers_are_far():
    colours = palette().double()
    distances = torch.cdist(colours, colours)
    assert (distances + torch.eye(256) * 1e3).min() >= 32
    for step in (1, 2, 3, 4):
        assert torch.diagonal(distances, step).min() > 110


def test_labels_come_back_from_the_picture_that_only_holds_colours_of_the_palette():
    picture = segmentation_picture(LABELS, (48, 72))
    levels = ((picture[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
    labels = (levels[..., None, :] == palette()).all(-1).int().argmax(-1)
    assert torch.equal(labels, torch.from_numpy(LABELS).repeat_interleave(3, 0).repeat_interleave(3, 1).int().long())


def test_minus_one_is_unlabelled():
    signed = segmentation_picture(np.array([[0, -1], [-1, 7]], np.int8), (2, 2))
    assert torch.equal(signed, segmentation_picture(np.array([[0, UNLABELLED], [255, 7]], np.uint8), (2, 2)))


def test_depth_spans_minus_one_to_one_whatever_its_scale_and_offset():
    depth = torch.rand(2, 9, 11, generator=torch.Generator().manual_seed(0))
    picture = depth_picture(depth, (9, 11))
    assert picture.amin((1, 2, 3)).tolist() == [-1, -1] and picture.amax((1, 2, 3)).tolist() == [1, 1]
    assert torch.allclose(depth_picture(depth * 0.3 + 0.5, (9, 11)), picture, atol=1e-5)
    # The order of near and far stays.
    assert torch.equal(picture[0, 0].flatten().argsort(), depth[0].flatten().argsort())


def test_a_small_thing_close_by_keeps_its_own_nearness():
    depth = np.full((64, 64), 0.2, np.float32)
    depth[0, 0] = 0.0
    depth[30:34, 30:34] = 0.6  # 0.4% of the picture
    depth[31, 31] = 1.0
    picture = depth_picture(depth, (64, 64))[0, 0]
    assert picture[31, 31] == 1 and picture[30, 30] == pytest.approx(0.2, abs=1e-6)


def test_stored_depth_that_spans_the_whole_range_stays_as_it_is():
    stored = stored_maps()["depth"]
    picture = depth_picture(stored, stored.shape)[0, 0].double().numpy()
    assert np.abs((picture + 1) / 2 * 65535 - stored).max() < 0.01
    assert torch.equal(depth_picture(stored, stored.shape), depth_picture(stored / np.float32(65535), stored.shape))


@pytest.mark.parametrize("level", [0.0, 0.37, 1.0])
def test_flat_depth_is_mid_gray_also_beside_one_that_is_not(level: float):
    depth = torch.full((2, 8, 8), level)
    depth[0, 0, 0] += FLAT / 2 * (1 if level < 0.5 else -1)
    depth[1, 0] = 0.5
    picture = depth_picture(depth, (5, 20))
    assert (picture[0] == 0).all()
    assert picture[1].isfinite().all() and picture[1].abs().max() > 0.9


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 9))
def test_depth_of_any_size_stays_in_range(height: int, width: int, seed: int):
    depth = np.random.default_rng(seed).random((13, 17), np.float32)
    picture = depth_picture(depth, (height, width))
    assert picture.shape == (1, 3, height, width)
    assert picture.isfinite().all() and picture.abs().max() <= 1


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({"normals": np.zeros(SIZE)}, "maps must be among edges, segmentation, depth, got normals"),
        ({"edges": np.zeros(SIZE, np.float32)}, "edges must be bool or integers"),
        ({"edges": np.zeros((*SIZE, 3, 1), bool)}, "edges must be [H, W] or [B, H, W]"),
        ({"edges": np.zeros((0, 4), bool)}, "edges must be [H, W] or [B, H, W]"),
        ({"edges": [[True]]}, "edges must be an array or a tensor, got list"),
        ({"segmentation": np.zeros(SIZE, np.float32)}, "segmentation must be integer labels"),
        ({"segmentation": np.full(SIZE, 256)}, "segmentation labels must be in [0, 255] or -1, got 256 to 256"),
        ({"segmentation": np.full(SIZE, -2)}, "segmentation labels must be in [0, 255] or -1, got -2 to -2"),
        ({"depth": np.full(SIZE, 2.5, np.float32)}, "depth must be in [0, 1] with 1 = near, got 2.5 to 2.5"),
        ({"depth": np.full(SIZE, np.nan, np.float32)}, "depth must be in [0, 1]"),
        ({"depth": np.zeros(SIZE, np.int64)}, "depth must be float, uint8 or uint16"),
        ({"edges": np.zeros((2, 4, 4), bool), "depth": np.zeros((4, 4), np.uint8)}, "equally many pictures"),
    ],
)
def test_what_is_no_map_is_refused(maps: dict, message: str):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared below)
        map_pictures(maps, SIZE)
    assert message in str(raised.value)


def test_an_impossible_size_is_refused():
    with pytest.raises(ValueError, match="size must be"):
        map_pictures(stored_maps(), (0, 8))


def test_maps_of_a_real_photograph(shared_picture: Callable[[str], Path]):
    from PIL import Image

    from decoupage.images.codecs import decode_gray, decode_mask
    from decoupage.maps.choose import make_makers
    from pipelines.config import MapsConfig

    photo = sorted(shared_picture("photos").glob("*.jpg"))[0]
    rgb = np.asarray(Image.open(photo).convert("RGB").resize((256, 192)))
    pngs = {maker.name: maker.pngs([rgb])[0] for maker in make_makers(MapsConfig())}
    stored = {name: (decode_mask if name == "edges" else decode_gray)(png) for name, png in pngs.items()}
    for name, picture in map_pictures(stored, (192, 256)).items():
        assert picture.shape == (1, 3, 192, 256)
        assert picture.std() > 0.1, name
