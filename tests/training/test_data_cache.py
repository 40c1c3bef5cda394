"""Scenes of an object store: read ahead, kept on this machine within a bound, never taken for whole when damaged."""

import multiprocessing
import os
import time
from itertools import islice
from pathlib import Path

import pytest

from decoupage.faults import BadSetup
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, build_dataset
from tests.object_store import Fault, FaultyProxy, S3Server
from training.data import DataLoading, TripletLoader, open_index
from training.data.cache import SceneCache

NUM_SCENES, NUM_SHARDS = 12, 4
LOADING = DataLoading(batch_size=4, maps=(), redraw_masks=False)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    build_dataset(root, FakeScenes(num_scenes=NUM_SCENES, scenes_per_shard=NUM_SCENES // NUM_SHARDS))
    return root / "shards"


@pytest.fixture(scope="module")
def bucket(s3: S3Server, dataset: Path) -> str:
    """Address of the same shards in an object store."""
    store = Store(f"{s3.bucket()}/shards")
    for path in dataset.iterdir():
        store.write(path.name, path.read_bytes())
    return store.root


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine keeps scenes."""
    monkeypatch.setenv("DECOUPAGE_CACHE", str(tmp_path))
    return tmp_path / "scenes"


def blocks(folder: Path) -> list[Path]:
    return [path for path in folder.glob("??/*") if path.is_file()]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in blocks(folder))


def read_all(index, cache: SceneCache) -> None:
    for i in range(len(index)):
        assert cache.read(index.span(i), index.store) == index.span(i).read(index.store)


def drawn(source: str, loading: DataLoading, num_batches: int = 6) -> list[tuple]:
    batches = list(islice(TripletLoader(source, loading).batches(), num_batches))
    return [(batch.keys, batch.layers, batch.composite_B3HW.sum().item()) for batch in batches]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("cache_gb", [0.0, 1.0])
def test_an_object_store_gives_the_samples_of_a_folder(bucket, dataset, folder, num_workers, cache_gb):
    loading = DataLoading(batch_size=4, maps=(), num_workers=num_workers, cache_gb=cache_gb)
    assert drawn(bucket, loading) == drawn(str(dataset), DataLoading(batch_size=4, maps=()))
    assert len(blocks(folder)) == (NUM_SCENES if cache_gb else 0)


def test_manifests_are_asked_for_side_by_side_and_scenes_once(bucket, folder, faulty: FaultyProxy):
    loader = TripletLoader(bucket, DataLoading(batch_size=4, maps=(), redraw_masks=False, cache_gb=1.0))
    opening = [request.kind for request in faulty.requests]
    faulty.clear()
    list(islice(loader.batches(), 18))  # Three epochs.
    ranges = [request for request in faulty.requests if "range" in request.headers]
    assert len(ranges) <= NUM_SCENES and len(faulty.requests) == len(ranges)
    assert opening.count("LIST") <= 4 and opening.count("GET") <= NUM_SHARDS + 3


def test_scenes_of_batches_to_come_are_asked_for_early(bucket, folder, faulty: FaultyProxy):
    loader = TripletLoader(bucket, DataLoading(batch_size=2, maps=(), redraw_masks=False))
    batches = loader.batches()
    faulty.clear()
    first = next(batches)
    deadline_s = time.monotonic() + 20
    while len(faulty.requests) < len(set(first.keys)) + 6 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert len(faulty.requests) >= len(set(first.keys)) + 6


def test_the_bound_holds_and_the_oldest_go(bucket, folder):
    index = open_index(bucket)
    sizes = [index.span(i).num_bytes for i in range(NUM_SCENES)]
    bound = sum(sizes[:6])
    old = SceneCache(bound)
    for i in range(6):
        old.read(index.span(i), index.store)
        os.utime(old._path(index.span(i)), (i, i))
    assert size(folder) == bound
    new = SceneCache(bound)
    for i in range(6, 9):
        new.read(index.span(i), index.store)
        assert size(folder) <= bound
    assert all(new._path(index.span(i)).exists() for i in range(6, 9))
    assert not new._path(index.span(0)).exists() and new._path(index.span(5)).exists()


def test_what_this_run_has_used_stays_when_all_is_full(bucket, folder):
    index = open_index(bucket)
    bound = sum(index.span(i).num_bytes for i in range(4))
    cache = SceneCache(bound)
    read_all(index, cache)
    kept = set(blocks(folder))
    read_all(index, cache)
    assert set(blocks(folder)) == kept and len(kept) >= 3 and size(folder) <= bound


def test_a_larger_scene_than_the_bound_is_read_and_not_kept(bucket, folder):
    index = open_index(bucket)
    read_all(index, SceneCache(100))
    assert blocks(folder) == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: bytes(len(data))]
)
def test_a_damaged_block_is_fetched_again(bucket, folder, damage):
    index = open_index(bucket)
    cache = SceneCache(1 << 30)
    read_all(index, cache)
    for path in blocks(folder):
        path.write_bytes(damage(path.read_bytes()))
    read_all(index, cache)
    assert all(cache._path(index.span(i)).stat().st_size == index.span(i).num_bytes for i in range(NUM_SCENES))


def test_what_a_killed_process_left_counts_and_goes(bucket, folder):
    index = open_index(bucket)
    cache = SceneCache(sum(index.span(i).num_bytes for i in range(3)))
    cache.read(index.span(0), index.store)
    left = folder / "00" / "0.1-1.tmp"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(bytes(index.span(1).num_bytes))
    (folder / "num_bytes").unlink()  # The sum is counted again.
    cache.read(index.span(1), index.store)
    cache.read(index.span(2), index.store)
    assert size(folder) <= cache.max_bytes
    os.utime(left, (1, 1))
    (folder / "num_bytes").unlink()
    SceneCache(cache.max_bytes).read(index.span(3), index.store)
    assert not left.exists()


def _fill(root: str, bound: int) -> None:
    index = open_index(root)
    for _ in range(3):
        read_all(index, SceneCache(bound))


@pytest.mark.slow
def test_processes_share_the_bound(bucket, folder):
    index = open_index(bucket)
    bound = sum(index.span(i).num_bytes for i in range(5))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(bucket, bound)) for _ in range(3)]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        assert size(folder) <= bound
        time.sleep(0.005)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_store_that_does_not_answer_stops_the_run_and_skips_no_scene(bucket, folder, monkeypatch):
    loader = TripletLoader(bucket, LOADING)

    def refuse(self, path, offset, num_bytes):
        raise BadSetup(f"{self.url(path)} cannot be read (503 SlowDown)")

    monkeypatch.setattr(Store, "read_range", refuse)
    with pytest.raises(BadSetup, match="503 SlowDown") as refusal:
        next(loader.batches())
    assert "max_unreadable_share" not in str(refusal.value) and loader.unreadable == {}


def test_faults_on_the_way_change_no_sample(bucket, dataset, folder, faulty: FaultyProxy):
    loader = TripletLoader(bucket, LOADING)
    faulty.add(
        Fault(kind="GET", times=2, status=503, code="SlowDown"), Fault(kind="GET", short=True), Fault(reset=True)
    )
    found = [batch.keys for batch in islice(loader.batches(), 4)]
    assert found == [keys for keys, *_ in drawn(str(dataset), LOADING, 4)] and loader.unreadable == {}


def test_a_disk_that_cannot_be_written_to_costs_no_sample(bucket, folder, caplog):
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file in the folder's place")
    index = open_index(bucket)
    read_all(index, SceneCache(1 << 30))
    assert "scenes are not kept there" in caplog.text
