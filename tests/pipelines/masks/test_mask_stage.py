"""Masks as a stage that follows the scenes: the same recipe gives the same bytes, and only the mix decides them."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_mask
from decoupage.randomness import generator
from pipelines.config import MaskErrorConfig, MasksConfig
from pipelines.masks.imperfect import imperfect_mask
from pipelines.scenes.parts import SceneParts, area_ratio, mask_iou
from pipelines.scenes.read import read_members, scene_keys
from pipelines.scenes.record import MASK_COLUMNS
from pipelines.stages.engine import ProcessEngine, SerialEngine
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, mask_stage

BOXES = MasksConfig(**{name: MaskErrorConfig(weight=0.0) for name in ("none", "dilation", "erosion", "boundary")})


def make(root, engine=None, config=None, **changes):
    store, scenes = Store(str(root)), FakeScenes(**{"num_scenes": 8, "scenes_per_shard": 4} | changes)
    run_stage(scenes, store, SerialEngine())
    return run_stage(mask_stage(store, scenes, config), store, engine or SerialEngine())


def files(root):
    return {path.name: path.read_bytes() for path in (Path(root) / "masks").glob("0*.*") if path.suffix != ".json"}


def masks_of(root):
    """(key, suffix) -> bytes of every mask, over all shards."""
    store, found = Store(str(root)), {}
    for name in store.names("masks", ".tar"):
        manifest = read_manifest(store, "masks", name.removesuffix(".tar"))
        for key in scene_keys(manifest):
            members = read_members(store, manifest, key)
            found |= {(key, suffix): data for suffix, data in members.items() if suffix.endswith(".png")}
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("masks")
    return root, make(root)


def test_a_mask_is_drawn_from_where_its_layer_shows_by_seed_key_and_layer(made):
    root, report = made
    store = Store(str(root))
    assert (report.num_items, report.num_rows, report.drops) == (8, 15, [])
    for shard, manifest in report.shards.items():
        scenes = read_manifest(store, "scenes", shard)
        rows = pq.read_table(f"{root}/masks/{shard}.parquet").to_pylist()
        for key in scene_keys(manifest):
            members = read_members(store, manifest, key)
            parts = SceneParts.decode(key, read_members(store, scenes, key) | members)
            of_scene = [row for row in rows if row["key"] == key]
            assert [row["layer"] for row in of_scene] == list(range(len(parts.layers)))
            for i, (entry, row) in enumerate(zip(parts.record["layers"], of_scene, strict=True)):
                visible, mask = parts.visible_mask(i), decode_mask(members[f"mask{i}.png"])
                drawn = imperfect_mask(parts, i, MasksConfig(), generator(0, "mask", f"{key}/{i}"))
                assert (mask == drawn.mask).all() and (parts.imperfect_masks[i] == mask).all()
                assert entry["mask_error"] == drawn.error
                assert entry["mask_iou"] == mask_iou(mask, visible)
                assert entry["mask_area_px"] == mask.sum() > 0
                assert entry["mask_area_ratio"] == area_ratio(mask, visible) == drawn.area_ratio
                assert {name: row[name] for name in MASK_COLUMNS} == {name: entry[name] for name in MASK_COLUMNS}


def test_a_second_run_makes_nothing(made):
    root, _ = made
    before = files(root)
    assert make(root).num_made == 0 and files(root) == before


def test_processes_draw_the_same_bytes(made, tmp_path):
    make(tmp_path, ProcessEngine(2))
    assert files(tmp_path) == files(made[0])


@pytest.mark.parametrize("changes", [{"scenes_per_shard": 8}, {"scenes_per_shard": 3}, {"num_scenes": 11}])
def test_shards_and_number_do_not_change_masks(made, tmp_path, changes):
    make(tmp_path, **changes)
    assert masks_of(made[0]).items() <= masks_of(tmp_path).items()


def test_more_scenes_append_shards(tmp_path):
    make(tmp_path)
    before = files(tmp_path)
    assert make(tmp_path, num_scenes=12).num_made == 1
    after = files(tmp_path)
    assert before.items() <= after.items() and set(after) - set(before) == {"00002.tar", "00002.parquet"}


def test_another_mix_is_refused_until_its_folder_is_removed(tmp_path):
    make(tmp_path)
    scenes = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "scenes").iterdir()}
    with pytest.raises(BadSetup, match=r"masks\.boundary\.weight \(1\.0 there, 0\.0 here\).* remove that folder"):
        make(tmp_path, config=BOXES)
    before = masks_of(tmp_path)
    Store(str(tmp_path)).remove("masks")
    assert make(tmp_path, config=BOXES).num_made == 2
    assert masks_of(tmp_path).keys() == before.keys() and masks_of(tmp_path) != before
    assert scenes == {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "scenes").iterdir()
    }


def test_masks_need_finished_scenes_of_their_recipe(tmp_path):
    store = Store(str(tmp_path))
    with pytest.raises(BadSetup, match="has no finished shard 00000; materialize scenes first"):
        run_stage(mask_stage(store, FakeScenes()), store, SerialEngine())
    run_stage(FakeScenes(), store, SerialEngine())
    with pytest.raises(BadSetup, match="materialize scenes again"):
        run_stage(mask_stage(store, FakeScenes(seed=1)), store, SerialEngine())


def test_a_target_that_shows_nowhere_gets_no_mask_and_its_scene_is_dropped(tmp_path):
    hidden = "00000020"  # With this seed, its lowest layer is wholly covered.
    report = make(tmp_path, num_scenes=21, scenes_per_shard=21, seed=2)
    assert report.num_items == 20
    assert report.drops == [{"id": hidden, "reason": "hidden", "detail": "layer 0 shows nowhere"}]
    assert json.loads((tmp_path / "quarantine/masks.jsonl").read_text())["id"] == hidden
    assert hidden not in {key for key, _ in masks_of(tmp_path)}
