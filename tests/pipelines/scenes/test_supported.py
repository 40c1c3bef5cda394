"""Supported placement: feet on what carries them, flying things in the sky, sizes that fit, few scenes touched."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from pipelines import checks, scene_checks
from pipelines.config import PlacementConfig
from pipelines.library.layout import SUPPORTS, Layout
from pipelines.library.objects import Object, objects
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.scenes.draws import Pool
from pipelines.scenes.placement import MAX_SIZE_FACTOR, SIZE_TOLERANCE, Rejected, Sprite, _supported, place
from pipelines.scenes.plan import LayerPlan
from pipelines.scenes.stage import ScenesStage
from pipelines.scenes.terrain import GRID, SKY_SHARE, Terrain, anchor, ideal_heights
from pipelines.stages.engine import ProcessEngine, SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.library import Meadow, scenes_config, write_library
from tests.pipelines.scenes.test_placement import disc

CONFIG = scenes_config()
SUPPORTED = PlacementConfig(kind="supported", free_share=0.2)
SMALL = LayerPlan("real", "small", False, rule="supported")
CARRIERS = ("ground", "water", "sky", "surface", "hang")
carriers = st.sampled_from(CARRIERS)


def terrain_of(cells, horizon, is_near=False):
    rows = np.maximum(np.arange(GRID) + 0.5 - horizon, 0.0)
    masks = {name: np.zeros((GRID, GRID), bool) for name in SUPPORTS} | cells
    return Terrain(masks, horizon, np.repeat(rows[:, None], GRID, 1), is_near)


@st.composite
def terrains(draw):
    """Rectangles of each support at random, and a horizon."""
    cells = {}
    for name in SUPPORTS:
        top, left = draw(st.integers(0, 50)), draw(st.integers(0, 50))
        mask = np.zeros((GRID, GRID), bool)
        mask[top : top + draw(st.integers(1, 64)), left : left + draw(st.integers(1, 64))] = True
        cells[name] = mask
    return terrain_of(cells, draw(st.integers(-5, 50)))


def thing(support, height_m=None):
    return Object("thing", support, height_m, False)


def corner_of(sprite, terrain, plan=SMALL, seed=0):
    """Where the sprite is put; None where nothing carries it."""
    try:
        return place([sprite], [plan], terrain, CONFIG, np.random.default_rng(seed))[0]
    except Rejected:
        return None


@settings(max_examples=150)
@given(terrains(), carriers, st.integers(3, 20), st.integers(3, 20), st.integers(0, 9))
def test_feet_are_on_their_support(terrain, support, height, width, seed):
    sprite = Sprite(disc(height, width), "", thing(support))
    corner = corner_of(sprite, terrain, seed=seed)
    if corner is None:
        return
    top, left = corner
    if support == "sky":
        window = terrain.cells["sky"][top : top + height, left : left + width]
        assert (sprite.alpha * window.astype(int)).sum() >= SKY_SHARE * sprite.alpha.sum(dtype=int)
        assert top + height <= terrain.horizon
        return
    row, column = top + sprite.anchor[0], left + sprite.anchor[1]
    carried = terrain.cells[support]
    if support == "surface" and not carried.any():
        carried = terrain.cells["ground"]
    assert carried[row, column]
    if support in ("ground", "water"):
        assert row > terrain.horizon


def test_what_has_no_height_is_small_where_distances_are_known():
    table = np.zeros((GRID, GRID), bool)
    table[40:] = True
    for is_near, heights in ((False, (6, 11)), (True, (6, 11, 25, 40))):
        terrain = terrain_of({"surface": table}, 20.0, is_near)
        sprites = [Sprite(disc(height, 9), "", thing("surface")) for height in (6, 11, 25, 40)]
        # 0.4 m are 11 cells in the lowest row, 44 cells below the horizon; 1.6 times as much is the most.
        placed = [sprite.alpha.shape[0] for sprite in sprites if corner_of(sprite, terrain) is not None]
        assert placed == [*heights]


@settings(max_examples=100)
@given(terrains(), carriers, st.integers(3, 20), st.integers(1, 9), st.sampled_from(["", "b", "t", "l"]))
def test_a_mirrored_layout_mirrors_the_positions(terrain, support, height, half, cut):
    mirrored = Terrain(
        {name: mask[:, ::-1] for name, mask in terrain.cells.items()},
        terrain.horizon,
        terrain.reach_HW[:, ::-1],
        terrain.is_near,
    )
    alpha = disc(height, 2 * half + 1)
    flipped_cut = cut.translate(str.maketrans("lr", "rl"))
    carried, misfit = _supported(Sprite(alpha, cut, thing(support, 1.7)), thing(support, 1.7), terrain)
    other, other_misfit = _supported(Sprite(alpha, flipped_cut, thing(support, 1.7)), thing(support, 1.7), mirrored)
    assert np.array_equal(carried, other[:, ::-1]) and np.allclose(misfit, other_misfit[:, ::-1])


@settings(max_examples=100)
@given(st.integers(5, 40), st.integers(4, 30), st.floats(0.4, 8.0), st.integers(0, 9))
def test_a_size_is_taken_where_it_fits_best(horizon, height, height_m, seed):
    ground = np.zeros((GRID, GRID), bool)
    ground[horizon + 1 :] = True
    terrain = terrain_of({"ground": ground}, horizon)
    sprite = Sprite(disc(height, 9), "", thing("ground", height_m))
    corner = corner_of(sprite, terrain, seed=seed)
    rows = np.arange(horizon + 1, GRID)
    feet = rows[(rows >= height - 1)]
    ideal = height_m / 1.6 * (feet + 0.5 - horizon)
    misfits = np.abs(np.log(height / ideal))
    if corner is None:
        assert misfits.min() > np.log(MAX_SIZE_FACTOR)
        return
    foot = corner[0] + sprite.anchor[0]
    taken = abs(np.log(height / (height_m / 1.6 * (foot + 0.5 - horizon))))
    assert taken <= misfits.min() + np.log(SIZE_TOLERANCE) + 1e-9 and taken <= np.log(MAX_SIZE_FACTOR * SIZE_TOLERANCE)


def test_a_man_at_the_camera_s_height_ends_at_the_horizon():
    terrain = terrain_of({"ground": np.ones((GRID, GRID), bool)}, 20.0)
    rows, columns = np.array([30, 50, 70]), np.array([5])
    assert ideal_heights(1.6, terrain, rows, columns)[:, 0].tolist() == [10.5, 30.5, 50.5]


@settings(max_examples=60)
@given(st.integers(6, 20), st.integers(6, 20), st.sampled_from(["light", "medium"]), st.integers(0, 99))
def test_what_hides_another_stands_nearer(low, high, level, seed):
    terrain = terrain_of({"ground": np.ones((GRID, GRID), bool)}, -100.0)
    sprites = [Sprite(disc(low, low), "", thing("ground")), Sprite(disc(high, high), "", thing("ground"))]
    plan = [dataclasses.replace(SMALL, occlusion=level, occluder=1), SMALL]
    try:
        below, above = place(sprites, plan, terrain, CONFIG, np.random.default_rng(seed))
    except Rejected:
        return
    assert above[0] + sprites[1].anchor[0] >= below[0] + sprites[0].anchor[0]


def test_a_portrait_stands_on_what_its_border_hides():
    terrain = terrain_of({"ground": np.arange(GRID)[None] * np.ones((GRID, 1), int) >= 40}, 10.0)
    corners = {
        corner_of(Sprite(np.full((45, 9), 255, np.uint8), "b", thing("ground", 1.7)), terrain, seed=seed)
        for seed in range(20)
    }
    assert all(top + 45 >= GRID and left + 4 >= 40 for top, left in corners)


def test_an_anchor_is_the_middle_of_the_lowest_or_highest_rows():
    alpha = np.zeros((50, 40), np.uint8)
    alpha[:, 18:22] = 255
    alpha[47:, 10:14] = 255
    alpha[48:, 18:22] = 0
    assert anchor(alpha, "ground") == (49, 12)
    assert anchor(alpha, "hang") == (0, 20)
    assert anchor(alpha, "sky") == anchor(alpha, "any") == (0, 0)
    assert anchor(alpha // 4, "ground") == (49, 12)


@given(st.integers(60, 200), st.integers(60, 200), st.sampled_from([0, 90, 180, 270]), st.data())
def test_a_terrain_is_the_layout_under_the_crop(height, width, turn, data):
    side = data.draw(st.integers(40, min(height, width)))
    left, top = data.draw(st.integers(0, width - side)), data.draw(st.integers(0, height - side))
    support = np.zeros((height, width), np.uint8)
    support[height // 2 :] = 1
    stored = (height, width) if turn % 180 else (width, height)
    record = dataclasses.replace(BACKGROUND, width_px=stored[0], height_px=stored[1], rotation_deg_ccw=turn)
    terrain = Terrain.of(Layout(support, np.zeros((height, width), np.float32)), record, (left, top, side))
    middles = top + (np.arange(GRID) + 0.5) / GRID * side
    assert np.array_equal(terrain.cells["ground"][:, 0], middles.astype(int) >= height // 2)
    assert abs(terrain.horizon - (height / 2 - top) / side * GRID) < 1e-9


BACKGROUND = BackgroundRecord(
    id="b",
    source="t",
    origin="b",
    path="b.png",
    sha256="",
    width_px=10,
    height_px=10,
    rotation_deg_ccw=0,
    sharpness=0.0,
    caption="",
    licence="",
    attribution="",
    perceptual_hash="0" * 16,
    split="train",
    horizon=0.5,
)


# ---- whole scenes


def stage_at(root, **changes):
    config = scenes_config(**{"placement": SUPPORTED, "num_scenes": 12} | changes)
    return ScenesStage(Store(str(root)), Store(f"{root}/photographs"), config)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("supported")
    write_library(str(root), real=tuple(range(20)), generated=tuple(range(20)), layouts=Meadow())
    return root, run_stage(stage_at(root), Store(str(root)), SerialEngine())


def rows_of(root, report):
    return list(checks.rows_of(Store(str(root)), report))


def test_every_layer_says_by_which_rule_it_was_placed(made):
    root, report = made
    rows = rows_of(root, report)
    assert report.num_items == 12 and {row["placement"] for row in rows} == {"supported", "free"}
    for row in rows:
        known = objects().get(row["object"])
        assert (row["placement"] == "supported") == (known is not None)
        carriers = {"surface": {"surface", "ground"}, "": {""}}
        support = known.support if known else ""
        assert row["support"] in carriers.get(support, {support})
        if row["height_ratio"] is not None:
            assert known.height_m and 1 / 2.6 < row["height_ratio"] < 2.6
        if row["placement"] == "supported" and row["support"] != "sky":
            assert abs(row["rotation_deg"]) <= 2.0
    assert any(row["height_ratio"] for row in rows)


def test_lettering_is_never_mirrored_nor_what_is_unknown(made):
    root, report = made
    rows = rows_of(root, report)
    assert any(row["flipped"] for row in rows)
    for row in rows:
        known = objects().get(row["object"])
        assert not row["flipped"] or (known is not None and not known.lettering)


def test_the_checks_recompute_the_supports(made, tmp_path):
    root, report = made
    store = Store(str(root))
    assert scene_checks.supports_recomputed(store, report).passed
    assert scene_checks.placed_freely(rows_of(root, report), SUPPORTED).passed
    lonely = PlacementConfig(kind="supported", free_share=0.0)
    assert not scene_checks.placed_freely(rows_of(root, report), lonely).passed
    assert scene_checks.placed_freely(rows_of(root, report), PlacementConfig()).passed


def test_a_support_that_is_not_there_fails_the_check(tmp_path):
    write_library(str(tmp_path), real=tuple(range(20)), generated=(), layouts=Meadow())
    store = Store(str(tmp_path))
    report = run_stage(stage_at(tmp_path, num_scenes=4, generated_share=0.0), store, SerialEngine())
    assert scene_checks.supports_recomputed(store, report).passed
    upside_down = Meadow()
    upside_down.inputs = lambda: {"labels": "v2"}
    upside_down.id2label = {0: "wall", 1: "wall", 2: "wall", 3: "wall"}
    write_library(str(tmp_path), real=tuple(range(20)), generated=(), layouts=upside_down)
    result = scene_checks.supports_recomputed(store, report)
    assert not result.passed and result.figures["bad"]


def test_the_same_bytes_whatever_the_engine(made, tmp_path):
    _, report = made
    write_library(str(tmp_path), real=tuple(range(20)), generated=tuple(range(20)), layouts=Meadow())
    again = run_stage(stage_at(tmp_path), Store(str(tmp_path)), ProcessEngine(2))
    assert [m.tar_sha256 for m in again.shards.values()] == [m.tar_sha256 for m in report.shards.values()]
    assert [m.parquet_sha256 for m in again.shards.values()] == [m.parquet_sha256 for m in report.shards.values()]


def test_a_change_of_the_library_touches_few_scenes(made, tmp_path):
    root, _ = made
    config = stage_at(root, num_scenes=200).scenes
    keys = [f"{i:08d}" for i in range(200)]

    def trails(pool):
        return [tuple(pool.trail(key, pool.plan(key), 0)) for key in keys]

    before = trails(Pool.read(Store(str(root)), config, "train"))
    write_library(str(tmp_path), real=tuple(range(19)), generated=tuple(range(20)), layouts=Meadow())
    after = trails(Pool.read(Store(str(tmp_path)), config, "train"))
    drew_it = [any(token.startswith("real-19@") for token in trail) for trail in before]
    changed = [a != b for a, b in zip(before, after, strict=True)]
    assert any(drew_it) and all(changed[i] for i, drew in enumerate(drew_it) if drew)
    assert sum(changed) < len(keys) / 3


def test_small_things_are_beside_small_things_and_backgrounds_carry_all(made):
    root, _ = made
    config = stage_at(root).scenes
    pool = Pool.read(Store(str(root)), config, "train")
    seen = set()
    for i in range(100):
        plan = pool.plan(f"{i:08d}")
        draw = pool.draw(f"{i:08d}", plan, 0)
        needs = [objects()[r.object].support for r in draw.foregrounds if r.object in objects()]
        assert len({need == "surface" for need in needs}) <= 1
        assert set(needs) <= set(draw.background.offers.split())
        assert all((r.object == "") == (layer.rule == "free") for r, layer in zip(draw.foregrounds, plan, strict=True))
        seen |= set(needs)
    assert {"ground", "surface"} <= seen


def test_without_layouts_or_known_objects_it_stops_before_work(tmp_path):
    write_library(str(tmp_path))
    with pytest.raises(BadSetup, match="layout"):
        run_stage(stage_at(tmp_path), Store(str(tmp_path)), SerialEngine())
    write_library(str(tmp_path), real=(4, 14), generated=tuple(range(20)), layouts=Meadow())
    with pytest.raises(BadSetup, match=r"scenes\.placement\.kind"):
        run_stage(stage_at(tmp_path), Store(str(tmp_path)), SerialEngine())


def test_a_foreground_s_object_is_part_of_its_draws(made):
    root, _ = made
    pool = Pool.read(Store(str(root)), stage_at(root).scenes, "train")
    assert {record.object for record in (pool.foregrounds[row] for row in range(len(pool.foregrounds)))} >= {"dog", ""}
    assert all(field.default == "" for field in dataclasses.fields(ForegroundRecord) if field.name == "object")
