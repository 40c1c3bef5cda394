"""Maps as a stage that follows the scenes."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_gray, decode_mask
from decoupage.maps.edges import CannyEdges
from pipelines.config import EdgesConfig
from pipelines.maps.stage import MapStage
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import read_members, scene_keys, spans
from pipelines.stages.engine import SerialEngine
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, map_stages


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path))
    run_stage(FakeScenes(), store, SerialEngine())
    return store


def test_maps_are_those_of_the_composite(store):
    for stage in map_stages(store, FakeScenes()):
        report = run_stage(stage, store, SerialEngine())
        assert (report.num_items, report.num_rows, report.drops) == (4, 4, [])
    scenes, edges = (read_manifest(store, name, "00001") for name in ("scenes", "edges"))
    assert scene_keys(scenes) == scene_keys(edges) == ["00000002", "00000003"]
    for key in scene_keys(scenes):
        parts = SceneParts.decode(key, read_members(store, scenes, key))
        stored = decode_mask(read_members(store, edges, key)["edges.png"])
        assert (stored == CannyEdges(EdgesConfig()).edges(parts.composite)).all()
    depth = read_members(store, read_manifest(store, "depth", "00000"), "00000001")["depth.png"]
    assert decode_gray(depth).dtype == np.uint16


def test_maps_need_finished_scenes(tmp_path):
    stage = map_stages(Store(str(tmp_path)), FakeScenes())[0]
    with pytest.raises(BadSetup, match="has no finished shard 00000; materialize scenes first"):
        run_stage(stage, Store(str(tmp_path)), SerialEngine())


def test_maps_refuse_scenes_of_another_recipe(store):
    stage = map_stages(store, FakeScenes(seed=1))[0]
    with pytest.raises(BadSetup, match="materialize scenes again"):
        run_stage(stage, store, SerialEngine())


def test_only_maps_of_changed_scenes_are_made_again(store):
    run_stage(map_stages(store, FakeScenes())[0], store, SerialEngine())
    grown = FakeScenes(num_scenes=5)
    run_stage(grown, store, SerialEngine())
    first = store.read("edges/00000.json")
    report = run_stage(map_stages(store, grown)[0], store, SerialEngine())
    assert report.num_made == 1
    assert store.read("edges/00000.json") == first


def test_damaged_scene_stops_the_run_and_says_how_to_mend_it(store):
    span = spans(read_manifest(store, "scenes", "00000"))[1]
    data = bytearray(store.read("scenes/00000.tar"))
    data[span.members[1].offset] ^= 1
    store.write("scenes/00000.tar", bytes(data))
    with pytest.raises(BadSetup, match=r"00000001\.layer0\.webp does not hash .* remove the shard's \.json"):
        run_stage(map_stages(store, FakeScenes())[0], store, SerialEngine())


def test_undecodable_picture_is_dropped_and_the_others_go_on(tmp_path):
    class OneBroken(FakeScenes):
        def task(self, key):
            outcome = super().task(key)
            if key == "00000001":
                return replace(outcome, members=outcome.members | {f"{key}.background.jpg": b"no picture"})
            return outcome

    store = Store(str(tmp_path))
    run_stage(OneBroken(), store, SerialEngine())
    report = run_stage(map_stages(store, OneBroken())[2], store, SerialEngine())
    assert report.num_items == 3
    assert [(drop["id"], drop["reason"]) for drop in report.drops] == [("00000001", "bad_image")]
    assert json.loads(store.read("quarantine/depth.jsonl"))["id"] == "00000001"


def test_a_batch_gives_the_same_as_one_by_one(store):
    stage = map_stages(store, FakeScenes())[1]
    scenes = [span for _, span in stage.items("00000")]
    assert stage.task.many(scenes) == [stage.task.many([span])[0] for span in scenes]


def test_a_damaged_scene_does_not_spoil_its_batch(store):
    stage = map_stages(store, FakeScenes())[0]
    (_, first), (_, second) = stage.items("00000")
    background = read_members(store, read_manifest(store, "scenes", "00000"), first.key)["background.jpg"]
    tar = store.read("scenes/00000.tar")
    store.write("scenes/00000.tar", tar.replace(background, bytes(len(background))))
    member = first.members[0]._replace(sha256=hashlib.sha256(bytes(len(background))).hexdigest())
    bad = replace(first, members=(member, *first.members[1:]))
    results = stage.task.many([bad, second, bad])
    assert [isinstance(result, BadItem) for result in results] == [True, False, True]
    assert results[1] == stage.task.many([second])[0]


def test_another_name_moves_the_folder_and_keeps_the_bytes(store):
    maker = CannyEdges(EdgesConfig())
    for name in (None, "trial/edges"):
        run_stage(MapStage(maker, store, FakeScenes(), name), store, SerialEngine())
    assert store.read("edges/00000.tar") == store.read("trial/edges/00000.tar")


def test_keys_must_lie_side_by_side(store):
    manifest = read_manifest(store, "scenes", "00000")
    mixed = replace(manifest, members=[*manifest.members, manifest.members[0]])
    with pytest.raises(ValueError, match="side by side"):
        spans(mixed)
    with pytest.raises(KeyError, match="00000009"):
        read_members(store, manifest, "00000009")
