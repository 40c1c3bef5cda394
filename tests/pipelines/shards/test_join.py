"""The join of scenes, masks and maps."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import canonical_json, fingerprint
from decoupage.images.codecs import encode_webp
from pipelines.scenes.read import read_members, scene_keys
from pipelines.scenes.record import MASK_COLUMNS
from pipelines.shards.join import ShardJoin
from pipelines.shards.verify import verify
from pipelines.stages.engine import ProcessEngine, SerialEngine
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, build_dataset, map_stages, mask_stage


def join_of(store, scenes=None):
    scenes = scenes or FakeScenes()
    return ShardJoin(store, scenes, mask_stage(store, scenes), map_stages(store, scenes))


def test_members_are_copied_in_order(tmp_path):
    store = build_dataset(tmp_path)
    joined = read_manifest(store, "shards", "00000")
    assert scene_keys(joined) == ["00000000", "00000001"]
    members = read_members(store, joined, "00000001")
    assert list(members) == [
        *("background.jpg", "layer0.webp", "layer1.webp", "mask0.png", "mask1.png", "json"),
        *("edges.png", "segmentation.png", "depth.png"),
    ]
    for name in ("scenes", "masks", "edges", "segmentation", "depth"):
        for suffix, data in read_members(store, read_manifest(store, name, "00000"), "00000001").items():
            assert members[suffix] == data or (name, suffix) == ("scenes", "json")
    rows = [pq.read_table(tmp_path / f"{name}/00001.parquet") for name in ("shards", "scenes", "masks")]
    assert rows[0].drop_columns(MASK_COLUMNS).equals(rows[1])
    assert rows[0].select(rows[2].column_names).equals(rows[2])


def test_the_json_says_all_that_the_scene_said_and_what_the_masks_are(tmp_path):
    store = build_dataset(tmp_path)
    said, masked = (
        json.loads(read_members(store, read_manifest(store, name, "00000"), "00000001")["json"])
        for name in ("scenes", "shards")
    )
    assert masked.pop("masks_recipe") == fingerprint(mask_stage(store, FakeScenes()).recipe)
    for layer in masked["layers"]:
        assert [type(layer.pop(name)) for name in MASK_COLUMNS] == [str, float, int, float]
    assert masked == said


def test_a_second_run_makes_nothing(tmp_path):
    store = build_dataset(tmp_path)
    assert run_stage(join_of(store), store, SerialEngine()).num_made == 0


def test_processes_give_the_same_bytes(tmp_path):
    engine = ProcessEngine(2)
    scenes = FakeScenes()
    ours, theirs = build_dataset(tmp_path / "ours"), Store(str(tmp_path / "theirs"))
    run_stage(scenes, theirs, SerialEngine())
    for stage in (mask_stage(theirs, scenes), *map_stages(theirs, scenes)):
        run_stage(stage, theirs, SerialEngine())
    run_stage(join_of(theirs), theirs, engine)
    for shard in ("00000", "00001"):
        for suffix in ("tar", "parquet"):
            assert ours.read(f"shards/{shard}.{suffix}") == theirs.read(f"shards/{shard}.{suffix}")
    assert verify([theirs.root], engine) == verify([theirs.root])


def test_a_scene_without_a_map_is_dropped_with_its_rows(tmp_path):
    class NoDepth:
        name, recipe = "depth", {}

        def pngs(self, pictures):
            raise BadItem("too_dark", "nothing to see")

    store = build_dataset(tmp_path)
    scenes = FakeScenes()
    maps = map_stages(store, scenes)
    depth = maps[2]
    good = depth.task

    def task(span):
        maker = NoDepth() if span.key == "00000002" else good.maker
        return replace(good, maker=maker).many([span])[0]

    depth.task = task
    store.remove("depth")
    run_stage(depth, store, SerialEngine())
    report = run_stage(ShardJoin(store, scenes, mask_stage(store, scenes), maps), store, SerialEngine())
    assert report.num_items == 3
    assert report.drops == [
        {"id": "00000002", "reason": "missing_map", "detail": "00000002 has no depth (too_dark)"},
    ]
    assert set(pq.read_table(tmp_path / "shards/00001.parquet")["key"].to_pylist()) == {"00000003"}
    assert verify([store.root]).ok


def test_every_source_must_be_there(tmp_path):
    store = build_dataset(tmp_path)
    store.remove("segmentation/00001.json")
    with pytest.raises(BadSetup, match="segmentation has no finished shard 00001; materialize segmentation first"):
        run_stage(join_of(store), store, SerialEngine())


def test_a_scene_without_masks_is_dropped(tmp_path):
    class OneHidden(FakeScenes):
        """In scene 1 the upper layer covers everything."""

        def task(self, key):
            outcome = super().task(key)
            if key != "00000001":
                return outcome
            record = json.loads(outcome.members[f"{key}.json"])
            lowest, top = record["layers"]
            members = outcome.members | {
                f"{key}.layer1.webp": encode_webp(np.full((64, 64, 4), 255, np.uint8)),
                f"{key}.json": canonical_json(record | {"layers": [lowest, top | {"box": [0, 0, 64, 64]}]}),
            }
            return replace(outcome, members=members)

    scenes = OneHidden()
    store = build_dataset(tmp_path, scenes)
    (hidden,) = read_manifest(store, "masks", "00000").drops
    assert (hidden["id"], hidden["reason"], hidden["detail"]) == ("00000001", "hidden", "layer 0 shows nowhere")
    joined = read_manifest(store, "shards", "00000")
    assert joined.drops == [{"id": "00000001", "reason": "missing_mask", "detail": "00000001 has no masks (hidden)"}]
    assert set(pq.read_table(tmp_path / "shards/00000.parquet")["key"].to_pylist()) == {"00000000"}


@pytest.mark.parametrize("stage", ["masks", "edges"])
def test_masks_and_maps_of_older_scenes_are_refused(tmp_path, stage):
    store = build_dataset(tmp_path, FakeScenes(num_scenes=3))
    grown = FakeScenes(num_scenes=4)
    run_stage(grown, store, SerialEngine())
    followers = {found.name: found for found in (mask_stage(store, grown), *map_stages(store, grown))}
    for name in followers.keys() - {stage}:
        run_stage(followers[name], store, SerialEngine())
    told = rf"{stage}/00001 was made from another shard of scenes .* materialize {stage} again"
    with pytest.raises(BadSetup, match=told):
        run_stage(join_of(store, grown), store, SerialEngine())
    run_stage(followers[stage], store, SerialEngine())
    assert run_stage(join_of(store, grown), store, SerialEngine()).num_made == 1
    assert verify([store.root]).num_scenes == 4


def test_a_manifest_that_miscounts_is_refused(tmp_path):
    store = build_dataset(tmp_path)
    manifest = read_manifest(store, "scenes", "00000")
    store.write("scenes/00000.json", replace(manifest, num_items=3).to_json())
    store.remove("shards")
    with pytest.raises(BadSetup, match="counts 3 items and lists 2"):
        run_stage(join_of(store), store, SerialEngine())
