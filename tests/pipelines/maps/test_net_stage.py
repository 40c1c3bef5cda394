"""Nets as stages: over real scenes, through the join, loaded once, in batches."""

import threading
import time

import numpy as np
import pytest

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_gray
from decoupage.maps import net
from decoupage.maps.choose import make_makers
from decoupage.maps.maker import MapMaker
from pipelines.config import MapsConfig
from pipelines.maps.stage import MapStage, MapTask
from pipelines.scenes.read import read_members, scene_keys
from pipelines.shards.join import ShardJoin
from pipelines.shards.verify import verify
from pipelines.stages.engine import ProcessEngine, SerialEngine
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, mask_stage
from tests.decoupage.maps.nets import both, save_segformer, segmentation
from tests.ray_nodes import cluster

SCENES = FakeScenes(num_scenes=7, scenes_per_shard=2)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return both(tmp_path_factory.mktemp("nets"))


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path))
    run_stage(SCENES, store, SerialEngine())
    return store


def stages(store, config, **changes) -> list[MapStage]:
    """Segmentation and depth; changes go to both sections."""
    sections = {name: getattr(config, name).model_copy(update=changes) for name in ("segmentation", "depth")}
    makers: tuple[MapMaker, ...] = make_makers(config.model_copy(update=sections))
    return [MapStage(maker, store, SCENES) for maker in makers[1:]]


def test_maps_go_through_the_join(store, config):
    edges = MapStage(make_makers(config)[0], store, SCENES)
    maps, masks = [edges, *stages(store, config)], mask_stage(store, SCENES)
    for stage in maps:
        report = run_stage(stage, store, ProcessEngine(2))
        assert (report.num_items, report.num_rows, report.drops) == (7, 7, [])
    run_stage(masks, store, SerialEngine())
    report = run_stage(ShardJoin(store, SCENES, masks, maps), store, SerialEngine())
    assert report.num_items == 7
    assert verify([store.root]).faults == []
    for shard in report.shards:
        manifest = read_manifest(store, "shards", shard)
        for key in scene_keys(manifest):
            members = read_members(store, manifest, key)
            labels, depth = decode_gray(members["segmentation.png"]), decode_gray(members["depth.png"])
            assert (labels.dtype, labels.shape) == (np.uint8, (16, 16))
            assert (depth.dtype, depth.shape) == (np.uint16, (56, 56))
            assert (depth.min(), depth.max()) == (0, 65535)


@pytest.mark.faults
def test_nets_in_actors_on_two_machines_give_the_same_bytes(store, config):
    pytest.importorskip("ray")
    from pipelines.stages.ray_engine import RayEngine

    with cluster(1, 1) as nodes:
        for stage in stages(store, config):
            alone = run_stage(stage, store, SerialEngine())
            store.remove_tree(stage.name)
            again = run_stage(stage, store, RayEngine(0, nodes.address))
            assert again.num_made == 4
            hashes = [
                {shard: (made.tar_sha256, made.parquet_sha256) for shard, made in report.shards.items()}
                for report in (alone, again)
            ]
            assert hashes[0] == hashes[1]


def test_nets_are_loaded_once_for_all_shards_and_stay_in_this_process(store, config, monkeypatch):
    loads, batches = [], []
    load, many = net._load.__wrapped__, MapTask.many
    net._load.cache_clear()
    monkeypatch.setattr(net, "_load", net.lru_cache(4)(lambda *given: (loads.append(given[0]), load(*given))[1]))
    monkeypatch.setattr(MapTask, "many", lambda self, items: (batches.append(len(items)), many(self, items))[1])
    for stage in stages(store, config):
        run_stage(stage, store, ProcessEngine(2), ["00000", "00001"])
        run_stage(stage, store, ProcessEngine(2))
    assert loads == ["segformer", "depth_anything"]
    assert sorted(batches) == sorted([2, 2, 2, 1] * 2), "a batch of at most 3 ends with its shard"


def test_the_same_bytes_whatever_was_there_before(store, config, tmp_path_factory):
    """Batches are cut elsewhere when a run resumes, and threads finish in any order."""
    for stage in stages(store, config):
        run_stage(stage, store, SerialEngine(), ["00001"])
        run_stage(stage, store, SerialEngine())
    whole = Store(str(tmp_path_factory.mktemp("whole")))
    run_stage(SCENES, whole, SerialEngine())
    for stage in stages(whole, config):
        run_stage(stage, whole, ProcessEngine(2))
        for shard in stage.shards():
            assert store.read(f"{stage.name}/{shard}.tar") == whole.read(f"{stage.name}/{shard}.tar")


def test_threads_decode_side_by_side_and_compute_in_turn(store, config, monkeypatch):
    stage = stages(store, config, batch_size=1)[0]
    model = net.load_net("segformer", stage.task.maker.files, "cpu").model
    forward, alone, together = model.forward, threading.Lock(), threading.Barrier(3)
    decode = MapTask._composite

    def computing(**inputs):
        assert alone.acquire(blocking=False), "two threads compute at once"
        time.sleep(0.01)
        alone.release()
        return forward(**inputs)

    def decoding(self, span):
        if span.key < "00000006":
            together.wait(timeout=60)  # Three at once, or it breaks.
        return decode(self, span)

    monkeypatch.setattr(model, "forward", computing)
    monkeypatch.setattr(MapTask, "_composite", decoding)
    monkeypatch.setattr(MapTask, "num_threads", 3)
    assert run_stage(stage, store, SerialEngine()).num_items == 7


def test_other_weights_make_the_maps_again(store, tmp_path):
    stage = MapStage(make_makers(both(tmp_path))[1], store, SCENES)
    assert run_stage(stage, store, SerialEngine()).num_made == 4
    assert run_stage(stage, store, SerialEngine()).num_made == 0
    before = store.read("segmentation/00000.json")
    save_segformer(tmp_path / "segformer", decoder_hidden_size=32)
    assert run_stage(stage, store, SerialEngine()).num_made == 4
    assert store.read("segmentation/00000.json") != before


@pytest.mark.parametrize("missing", ["folder", "file", "gpu"])
def test_what_is_missing_stops_the_run_before_anything_is_written(store, tmp_path, missing):
    folder = save_segformer(tmp_path / "net")
    config = segmentation(
        folder if missing != "folder" else "/nowhere", device="cuda:99" if missing == "gpu" else "cpu"
    )
    if missing == "file":
        (folder / "preprocessor_config.json").unlink()
    stage = MapStage(make_makers(both(tmp_path).model_copy(update={"segmentation": config}))[1], store, SCENES)
    with pytest.raises(BadSetup, match=r"maps\.segmentation"):
        run_stage(stage, store, SerialEngine())
    assert store.names("segmentation", "") == []


def test_classical_makers_stay_with_the_engine():
    for maker in make_makers(MapsConfig()):
        assert (maker.batch_size, maker.in_process, maker.weights, maker.inputs()) == (1, False, "", {})
