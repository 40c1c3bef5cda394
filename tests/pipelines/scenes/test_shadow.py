"""Contact shadows: where they are cast, what they look like, and that without them nothing is other than before."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from decoupage.faults import BadItem
from decoupage.images.alpha import blend, darken
from decoupage.images.codecs import decode_opacity, encode_gray, encode_png
from decoupage.images.types import Array
from pipelines.config import PlacementConfig
from pipelines.scenes.compose import Placement, Pose, _shadow
from pipelines.scenes.parts import Layer, SceneParts, Shadow, pixels_sha256
from pipelines.scenes.read import read_members, scene_keys
from pipelines.scenes.record import SCENES_SCHEMA
from pipelines.scenes.shadow import contact_shadow
from pipelines.scenes.stage import ScenesStage
from pipelines.scenes.terrain import anchor, base
from pipelines.stages.engine import ProcessEngine, SerialEngine
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import run_stage
from tests.library import Meadow, scenes_config, shadowed_scenes, write_library
from tests.pipelines.scenes.test_placement import disc


def test_only_what_stands_by_rule_can_cast_one():
    with pytest.raises(ValidationError, match=r'contact_shadow = true must go with kind = "supported", got "free"'):
        PlacementConfig(contact_shadow=True)
    assert PlacementConfig(kind="supported", contact_shadow=True).contact_shadow
    assert not PlacementConfig(kind="supported").contact_shadow


@given(st.integers(0, 255), st.integers(0, 255))
def test_a_shadow_is_black_laid_over_a_picture(colour, opacity):
    below = np.full((1, 1, 3), colour, np.uint8)
    black = np.array([[[0, 0, 0, opacity]]], np.uint8)
    darkened = darken(below, np.array([[opacity]], np.uint8))
    assert np.array_equal(darkened, blend(below, black)) and darkened.dtype == np.uint8
    assert darkened[0, 0, 0] == (2 * colour * (255 - opacity) + 255) // 510


def test_only_a_gray_picture_of_8_bits_is_an_opacity():
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(decode_opacity(encode_gray(values)), values)
    for other in (encode_gray(values.astype(np.uint16)), encode_png(np.dstack([values] * 3))):
        with pytest.raises(BadItem) as fault:
            decode_opacity(other)
        assert fault.value.reason == "pixel_type"


def on_canvas(shadow: Shadow, size_px: int) -> Array:
    canvas = np.zeros((size_px, size_px), np.uint8)
    left, top, right, bottom = shadow.box
    canvas[top:bottom, left:right] = shadow.opacity
    return canvas


@given(st.integers(8, 60), st.integers(8, 60), st.integers(0, 39), st.integers(0, 39))
def test_it_is_darkest_at_the_foot_and_flat(height, width, left, top):
    alpha = disc(height, width)
    shadow = contact_shadow(alpha, (left, top, left + width, top + height), 100)
    opacity = on_canvas(shadow, 100).astype(int)
    row, column = anchor(alpha, "ground")
    row, column = row + top, column + left
    assert 100 <= opacity[row, column] == opacity.max() <= 128
    for away in (opacity[row, column:], opacity[row, column::-1], opacity[row:, column], opacity[row::-1, column]):
        assert all(near >= far for near, far in pairwise(away))
    wide, high = (opacity > opacity.max() / np.e).any(axis=0).sum(), (opacity > opacity.max() / np.e).any(axis=1).sum()
    base_px = int(np.ptp(np.flatnonzero(base(alpha).any(axis=0)))) + 1
    assert base_px - 2 <= wide <= base_px + 1 and high <= max(3, wide / 4)
    edges = shadow.opacity[0], shadow.opacity[-1], shadow.opacity[:, 0], shadow.opacity[:, -1]
    assert all(edge.any() for edge in edges)


def test_it_moves_with_the_layer_and_ends_at_the_border():
    alpha = disc(20, 20)
    shadow, moved = (contact_shadow(alpha, (x, 40, x + 20, 60), 100) for x in (30, 37))
    assert np.array_equal(shadow.opacity, moved.opacity)
    assert np.subtract(moved.box, shadow.box).tolist() == [7, 0, 7, 0]
    cut = contact_shadow(alpha, (30, 79, 50, 99), 100)
    assert cut.box[3] == 100 and np.array_equal(cut.opacity, shadow.opacity[: len(cut.opacity)])


def test_what_lets_light_through_casts_a_lighter_one():
    alpha = disc(20, 20)
    full, half = (contact_shadow(a, (30, 40, 50, 60), 100).opacity.max() for a in (alpha, alpha // 2))
    assert abs(int(full) - 2 * int(half)) <= 2
    assert contact_shadow(alpha // 255, (30, 40, 50, 60), 100) is None


def test_a_layer_takes_its_own_shadow_away_and_no_other():
    rng = np.random.default_rng(0)
    background = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    cutouts = [np.dstack([rng.integers(0, 256, (10, 8, 3)), rng.integers(0, 256, (10, 8))]).astype(np.uint8)] * 2
    # The upper shadow lies on the lower layer too.
    shadows = [
        Shadow(rng.integers(0, 129, (4, 12)).astype(np.uint8), box) for box in ((2, 11, 14, 15), (6, 12, 18, 16))
    ]
    layers = tuple(
        Layer(rgba, box, shadow)
        for rgba, box, shadow in zip(cutouts, ((4, 4, 12, 14), (8, 5, 16, 15)), shadows, strict=True)
    )
    parts = SceneParts("k", background, layers, {})

    def drawn(*indices):
        canvas = background.astype(int)
        for i in indices:
            left, top, right, bottom = layers[i].shadow.box
            opacity = layers[i].shadow.opacity[..., None].astype(int)
            window = canvas[top:bottom, left:right]
            window[...] = (2 * window * (255 - opacity) + 255) // 510
            left, top, right, bottom = layers[i].box
            colour, alpha = layers[i].rgba[..., :3].astype(int), layers[i].rgba[..., 3:].astype(int)
            window = canvas[top:bottom, left:right]
            window[...] = (2 * (colour * alpha + window * (255 - alpha)) + 255) // 510
        return canvas

    assert np.array_equal(parts.composite, drawn(0, 1))
    assert np.array_equal(parts.flatten(without=0), drawn(1))
    assert np.array_equal(parts.flatten(without=1), drawn(0))
    bare = SceneParts("k", background, tuple(Layer(layer.rgba, layer.box) for layer in layers), {})
    for i in range(2):
        assert np.array_equal(parts.foreground(i), bare.foreground(i))
        assert np.array_equal(parts.light(i), bare.light(i))
        assert np.array_equal(parts.visible_mask(i), bare.visible_mask(i))
        assert parts.areas(i) == bare.areas(i)


@pytest.mark.parametrize(
    ("support", "cut_sides", "bottom", "casts"),
    [
        *(("ground", "", 90, True), ("surface", "", 90, True), ("ground", "l", 90, True), ("ground", "", 96, False)),
        *(("ground", "b", 90, False), ("water", "", 90, False), ("sky", "", 40, False), ("hang", "", 90, False)),
        ("", "", 90, False),
    ],
)
def test_it_needs_a_foot_on_ground_or_a_surface(support, cut_sides, bottom, casts):
    rgba = np.dstack([np.zeros((20, 20, 3), np.uint8), disc(20, 20)])
    box, pose = (30, bottom - 20, 50, bottom), Pose(1.0, False, 0.0, cut_sides)
    placement = Placement("supported" if support else "free", support)
    for wanted in (True, False):
        config = scenes_config(placement=PlacementConfig(kind="supported", contact_shadow=wanted))
        assert (_shadow(rgba, box, pose, placement, config) is not None) == (casts and wanted)


# ---- whole scenes


@pytest.fixture(scope="module")
def stages(tmp_path_factory) -> dict[bool, ScenesStage]:
    """With and without shadows -> the stage, run."""
    found = {}
    for wanted in (True, False):
        root = tmp_path_factory.mktemp(f"shadows-{wanted}")
        write_library(str(root), real=tuple(range(20)), generated=tuple(range(20)), layouts=Meadow())
        found[wanted] = shadowed_scenes(root, contact_shadow=wanted)
        run_stage(found[wanted], found[wanted].store, SerialEngine())
    return found


def scenes_of(stage: ScenesStage) -> dict[str, dict[str, bytes]]:
    manifest = read_manifest(stage.store, "scenes", "00000")
    return {key: read_members(stage.store, manifest, key) for key in scene_keys(manifest)}


def test_what_stands_in_full_view_of_its_foot_casts_one_and_nothing_else_does(stages):
    seen = set()
    for key, members in scenes_of(stages[True]).items():
        parts = SceneParts.decode(key, members)
        for i, (layer, entry) in enumerate(zip(parts.layers, parts.record["layers"], strict=True)):
            is_whole = layer.box[3] < parts.size[0]
            casts = entry["support"] in ("ground", "surface") and is_whole
            seen.add((entry["support"], is_whole, casts))
            assert (layer.shadow is not None) == casts == (f"shadow{i}.png" in members) == ("shadow_box" in entry)
            if casts:
                found = contact_shadow(layer.rgba[..., 3], layer.box, parts.size[0])
                assert layer.shadow.box == found.box and np.array_equal(layer.shadow.opacity, found.opacity)
                assert entry["shadow_box"] == list(found.box)
        assert pixels_sha256(parts.composite) == parts.record["composite_sha256"]
    assert {("ground", True, True), ("ground", False, False), ("", True, False), ("sky", True, False)} <= seen


def test_shadows_change_nothing_else_and_without_them_nothing_tells_of_them(stages):
    with_them, without = scenes_of(stages[True]), scenes_of(stages[False])
    assert with_them.keys() == without.keys()
    measured = ("sharpness", "sharpness_around")
    num_cast = 0
    for key, members in without.items():
        others = with_them[key]
        num_layers = len(json.loads(members["json"])["layers"])
        assert list(members) == ["background.jpg", *(f"layer{i}.webp" for i in range(num_layers)), "json"]
        assert all(others[suffix] == data for suffix, data in members.items() if suffix != "json")
        record, other = json.loads(members["json"]), json.loads(others["json"])
        for layer, other_layer in zip(record["layers"], other["layers"], strict=True):
            assert "shadow_box" not in layer
            num_cast += "shadow_box" in other_layer
            assert other_layer.keys() - {"shadow_box"} == layer.keys()
            assert all(other_layer[name] == value for name, value in layer.items() if name not in measured)
        for name in set(record) - {"recipe", "composite_sha256", "layers"}:
            assert record[name] == other[name]
        has_shadow = any(suffix.startswith("shadow") for suffix in others)
        assert (record["composite_sha256"] != other["composite_sha256"]) == has_shadow
    assert num_cast
    assert "shadow_box" not in SCENES_SCHEMA.names


def test_the_same_bytes_whatever_the_engine(stages, tmp_path):
    write_library(str(tmp_path), real=tuple(range(20)), generated=tuple(range(20)), layouts=Meadow())
    again = shadowed_scenes(tmp_path)
    report = run_stage(again, again.store, ProcessEngine(2))
    first = read_manifest(stages[True].store, "scenes", "00000")
    assert report.shards["00000"].tar_sha256 == first.tar_sha256
    assert report.shards["00000"].parquet_sha256 == first.parquet_sha256
