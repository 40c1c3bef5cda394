"""Shards are made once, whole, from what they say they are made from; the same bytes whatever happens on the way."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadItem, BadSetup
from decoupage.randomness import generator
from pipelines.stages.engine import Engine, ProcessEngine, SerialEngine
from pipelines.stages.manifest import Manifest, read_manifest
from pipelines.stages.run import Outcome, Report, parquet_bytes, run_stage
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import TarWriter


@dataclass(frozen=True)
class Noise:
    """Five items a shard: noise, one without anything, one that is refused, one that loses a part."""

    num_shards: int = 3
    seed: int = 1
    source: str = "first"
    pause_s: float = 0.0
    empty: str = "00001"
    streams: bool = False
    name: str = "noise"
    schema = pa.schema([("key", pa.string()), ("mean", pa.float64())])

    @property
    def recipe(self):
        return {"seed": self.seed}

    @property
    def layout(self):
        return {"per_shard": 5}

    def shards(self):
        return [f"{i:05d}" for i in range(self.num_shards)]

    def items(self, shard):
        numbers = [] if shard == self.empty else range(5 * int(shard), 5 * int(shard) + 5)
        pairs = [(f"{i:04d}", i) for i in numbers]
        return iter(pairs) if self.streams else pairs

    def inputs(self, shard):
        return {"source": self.source}

    def is_current(self, manifest, inputs):
        return manifest.inputs == inputs

    def task(self, i):
        time.sleep(self.pause_s)
        if i % 5 == 2:
            raise BadItem("truncated", f"item {i} ends early")
        if i % 5 == 4:
            return Outcome()
        data = generator(self.seed, self.name, i).bytes(700)
        lost = [{"id": f"{i:04d}-1", "reason": "empty_alpha", "detail": "second part"}] if i % 5 == 3 else []
        return Outcome({f"{i:04d}.bin": data}, [{"key": f"{i:04d}", "mean": i / 2}], lost, {"tries": i})


def contents(root: Path) -> dict[str, bytes]:
    """All files of a store; of manifests everything but the seconds."""
    found = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".json" and path.stem.isdigit():
            body = json.loads(data)
            data = json.dumps({k: v for k, v in body.items() if k not in ("seconds", "manifest_sha256")}).encode()
        found[str(path.relative_to(root))] = data
    return found


def make(root: Path, engine: Engine | None = None, shards: list[str] | None = None, **changes: object) -> Report:
    return run_stage(Noise(**changes), Store(str(root)), engine or SerialEngine(), shards)


def test_a_shard_is_a_tar_with_its_index_and_its_manifest(tmp_path):
    make(tmp_path)
    tar = (tmp_path / "noise" / "00000.tar").read_bytes()
    with tarfile.open(fileobj=BytesIO(tar)) as reader:
        assert reader.getnames() == ["0000.bin", "0001.bin", "0003.bin"]
    index = (tmp_path / "noise" / "00000.parquet").read_bytes()
    assert pq.read_table(BytesIO(index)).to_pylist() == [
        {"key": "0000", "mean": 0.0},
        {"key": "0001", "mean": 0.5},
        {"key": "0003", "mean": 1.5},
    ]
    manifest = read_manifest(Store(str(tmp_path)), "noise", "00000")
    assert (manifest.num_items, manifest.num_rows, manifest.num_bytes) == (3, 3, len(tar))
    assert manifest.tar_sha256 == hashlib.sha256(tar).hexdigest()
    assert manifest.parquet_sha256 == hashlib.sha256(index).hexdigest()
    assert manifest.inputs == {"source": "first"}
    for member in manifest.members:
        data = Store(str(tmp_path)).read_range("noise/00000.tar", member.offset, member.num_bytes)
        assert hashlib.sha256(data).hexdigest() == member.sha256


def test_the_report_counts_items_drops_and_tallies(tmp_path):
    report = make(tmp_path)
    assert (report.num_made, report.num_items, report.num_rows) == (3, 6, 6)
    assert report.drops_by_reason == {"truncated": 2, "empty_alpha": 2}
    assert report.counts == {"tries": 0 + 1 + 3 + 10 + 11 + 13}
    assert report.num_bytes == sum(path.stat().st_size for path in (tmp_path / "noise").glob("*.tar"))


def test_drops_stand_in_quarantine(tmp_path):
    make(tmp_path)
    lines = (tmp_path / "quarantine" / "noise.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "0002", "reason": "truncated", "detail": "item 2 ends early"},
        {"id": "0003-1", "reason": "empty_alpha", "detail": "second part"},
        {"id": "0012", "reason": "truncated", "detail": "item 12 ends early"},
        {"id": "0013-1", "reason": "empty_alpha", "detail": "second part"},
    ]


def test_quarantine_covers_shards_that_were_made_earlier(tmp_path):
    make(tmp_path, shards=["00000"])
    make(tmp_path, shards=["00002"])
    assert len((tmp_path / "quarantine" / "noise.jsonl").read_text().splitlines()) == 4


def test_stages_in_folders_have_a_flat_quarantine_name(tmp_path):
    make(tmp_path, name="foregrounds/noise")
    assert (tmp_path / "quarantine" / "foregrounds-noise.jsonl").exists()


@pytest.mark.parametrize("streams", [False, True])
def test_a_shard_without_items_is_a_whole_shard(tmp_path, streams):
    make(tmp_path, streams=streams)
    manifest = read_manifest(Store(str(tmp_path)), "noise", "00001")
    assert (manifest.num_items, manifest.num_rows, manifest.members) == (0, 0, [])
    with tarfile.open(tmp_path / "noise" / "00001.tar") as tar:
        assert tar.getnames() == []
    assert pq.read_table(tmp_path / "noise" / "00001.parquet").schema.names == ["key", "mean"]
    assert make(tmp_path).num_made == 0


@pytest.mark.parametrize("empty", ["00000", "00002", "none"])
def test_empty_shards_anywhere(tmp_path, empty):
    report = make(tmp_path, empty=empty)
    assert list(report.shards) == ["00000", "00001", "00002"]
    assert report.num_items == (9 if empty == "none" else 6)


def test_what_is_done_is_not_done_again(tmp_path):
    make(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "noise").iterdir()}
    report = make(tmp_path)
    assert report.num_made == 0
    assert report.num_items == 6
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "noise").iterdir()} == before


def test_a_missing_shard_is_made(tmp_path):
    make(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "noise" / "00002.json").unlink()
    assert make(tmp_path).num_made == 1
    assert contents(tmp_path) == before


def test_stale_shards_are_remade(tmp_path):
    make(tmp_path)
    assert make(tmp_path, shards=["00002"], source="second").num_made == 1
    assert make(tmp_path, source="second").num_made == 2
    assert make(tmp_path, source="second").num_made == 0


def test_more_shards_change_none(tmp_path):
    make(tmp_path, num_shards=2)
    before = contents(tmp_path / "noise")
    assert make(tmp_path, num_shards=4).num_made == 2
    assert before.items() <= contents(tmp_path / "noise").items()


def test_the_shards_asked_for_and_no_others(tmp_path):
    report = make(tmp_path, shards=["00002", "00000"])
    assert list(report.shards) == ["00002", "00000"]
    assert not (tmp_path / "noise" / "00001.tar").exists()


def test_another_recipe_is_refused_before_anything_changes(tmp_path):
    make(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(BadSetup, match=r"seed \(1 there, 2 here\)"):
        make(tmp_path, seed=2)
    assert contents(tmp_path) == before


def test_a_missing_input_stops_the_run_before_work(tmp_path, monkeypatch):
    def absent(self, shard):
        raise BadSetup("the library is missing")

    monkeypatch.setattr(Noise, "inputs", absent)
    with pytest.raises(BadSetup, match="library"):
        make(tmp_path)
    assert list((tmp_path / "noise").glob("*.tar")) == []


def test_engines_give_the_same_bytes(tmp_path):
    make(tmp_path / "serial")
    make(tmp_path / "process", ProcessEngine(2))
    make(tmp_path / "stream", streams=True)
    assert contents(tmp_path / "serial") == contents(tmp_path / "process") == contents(tmp_path / "stream")


def test_it_runs_on_an_object_store(tmp_path):
    store = Store("memory://noise")
    run_stage(Noise(), store, SerialEngine())
    make(tmp_path)
    assert store.read("noise/00000.tar") == (tmp_path / "noise" / "00000.tar").read_bytes()
    assert run_stage(Noise(), store, SerialEngine()).num_made == 0


def test_a_fault_of_ours_stops_the_run_and_keeps_whole_shards(tmp_path, monkeypatch):
    def broken(self, i):
        if i == 11:
            raise ZeroDivisionError
        return Outcome({f"{i}.bin": b"x"})

    monkeypatch.setattr(Noise, "task", broken)
    with pytest.raises(ZeroDivisionError):
        make(tmp_path)
    assert sorted(path.name for path in (tmp_path / "noise").iterdir()) == [
        *("00000.json", "00000.parquet", "00000.tar"),
        *("00001.json", "00001.parquet", "00001.tar", "recipe.json"),
    ]


def test_a_damaged_manifest_is_not_taken_for_a_shard(tmp_path):
    make(tmp_path)
    path = tmp_path / "noise" / "00000.json"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadSetup, match="remove it to rebuild the shard"):
        make(tmp_path)
    path.unlink()
    assert make(tmp_path).num_made == 1


def test_equal_rows_give_equal_parquet_bytes():
    rows = [{"key": "a", "mean": 0.5}, {"key": "b"}]
    assert parquet_bytes(rows, Noise.schema) == parquet_bytes(
        [dict(reversed(row.items())) for row in rows], Noise.schema
    )


def test_an_unknown_column_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"columns that the schema lacks: \['colour'\]"):
        parquet_bytes([{"key": "a"}, {"key": "b", "colour": 1}], Noise.schema)
    monkeypatch.setattr(Noise, "task", lambda self, i: Outcome(rows=[{"size": i}]))
    with pytest.raises(ValueError, match="size"):
        make(tmp_path)
    assert not (tmp_path / "noise" / "00000.json").exists()


def test_a_remade_shard_is_absent_until_it_is_whole(tmp_path, monkeypatch):
    """While a stale shard is being rewritten, its old manifest must not vouch for the new tar."""
    make(tmp_path)
    seen = []
    original = Store.write

    def watching(self: Store, path: str, data: bytes) -> None:
        if path.endswith(".parquet"):
            seen.append(self.exists(path.replace(".parquet", ".json")))
        original(self, path, data)

    monkeypatch.setattr(Store, "write", watching)
    make(tmp_path, source="second")
    assert seen == [False, False, False]


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path, workers):
    """SIGKILL while the second or third shard is being written, several times over; then a run to the end."""
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom pipelines.stages.engine import *\n"
        "from tests.pipelines.stages.test_stage import make\n"
        "if __name__ == '__main__':\n"
        "    engine = ProcessEngine(2) if sys.argv[2] == '2' else SerialEngine()\n"
        "    make(Path(sys.argv[1]), engine, num_shards=4, pause_s=0.08, empty='none')\n"
    )
    broken = tmp_path / "broken"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    for num_whole in (1, 3):
        child = subprocess.Popen([sys.executable, str(script), str(broken), str(workers)], env=environment)
        deadline = time.monotonic() + 60
        while not _is_writing(broken, num_whole) and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert any(path.suffix == ".tmp" for path in (broken / "noise").iterdir())
    assert not (broken / "noise" / "00003.json").exists()
    report = make(broken, num_shards=4, empty="none")
    assert 0 < report.num_made < 4
    whole = tmp_path / "whole"
    make(whole, num_shards=4, empty="none")
    assert contents(broken) == contents(whole)


def _is_writing(root: Path, num_whole: int) -> bool:
    """That many shards are whole and another is begun."""
    names = [path.name for path in (root / "noise").glob("*")]
    return sum(name.endswith(".parquet") for name in names) >= num_whole and any(
        name.startswith(".") and ".tar." in name for name in names
    )


def test_manifests_of_two_runs_differ_in_seconds_only(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b")
    one, two = (read_manifest(Store(str(tmp_path / name)), "noise", "00000") for name in "ab")
    assert isinstance(one, Manifest)
    differing = {key for key in vars(one) if getattr(one, key) != getattr(two, key)}
    assert differing <= {"seconds"}


@dataclass
class Batches:
    """The task of `Noise`, a batch at a time; keeps what it was given."""

    noise: Noise
    batch_size: int
    in_process: bool = False
    seen: list[list[int]] = field(default_factory=list)

    def many(self, items):
        self.seen.append(list(items))
        return [self._result(i) for i in items]

    def _result(self, i):
        try:
            return self.noise.task(i)
        except BadItem as fault:
            return fault


class NoiseInBatches(Noise):
    def __init__(self, batch_size: int, in_process: bool = False, **changes: object) -> None:
        super().__init__(**changes)
        object.__setattr__(self, "task", Batches(Noise(**changes), batch_size, in_process))


@pytest.mark.parametrize("batch_size", [1, 4, 5, 7, 100])
@pytest.mark.parametrize("streams", [False, True])
def test_batches_give_the_same_bytes_as_one_by_one(tmp_path, batch_size, streams):
    make(tmp_path / "single")
    report = run_stage(NoiseInBatches(batch_size, streams=streams), Store(str(tmp_path / "batch")), SerialEngine())
    assert contents(tmp_path / "batch") == contents(tmp_path / "single")
    assert report.drops_by_reason == {"truncated": 2, "empty_alpha": 2}


def test_batches_never_cross_the_borders_of_shards(tmp_path):
    stage = NoiseInBatches(4, empty="00001")
    run_stage(stage, Store(str(tmp_path)), SerialEngine())
    assert stage.task.seen == [[0, 1, 2, 3], [4], [10, 11, 12, 13], [14]]


def test_batches_are_mapped_by_processes_too(tmp_path):
    make(tmp_path / "single")
    stage = NoiseInBatches(3)
    run_stage(stage, Store(str(tmp_path / "batch")), ProcessEngine(2))
    assert contents(tmp_path / "batch") == contents(tmp_path / "single")
    assert stage.task.seen == [], "the work was done elsewhere"


def test_a_task_that_stays_in_this_process_is_not_sent_to_workers(tmp_path):
    stage = NoiseInBatches(3, in_process=True)
    run_stage(stage, Store(str(tmp_path)), ProcessEngine(2))
    assert sum(map(len, stage.task.seen)) == 10


def test_no_more_than_a_batch_is_held(tmp_path, monkeypatch):
    drawn, ahead = [], []

    def items(self, shard):
        for i in range(100):
            drawn.append(i)
            yield f"{shard}{i:04d}", 0

    monkeypatch.setattr(NoiseInBatches, "items", items)
    original = TarWriter.add
    monkeypatch.setattr(TarWriter, "add", lambda tar, *args: (ahead.append(len(drawn)), original(tar, *args))[1])
    run_stage(NoiseInBatches(8), Store(str(tmp_path)), SerialEngine())
    assert max(num_drawn - num_written for num_written, num_drawn in enumerate(ahead)) <= 8


@pytest.mark.parametrize("result", [[], [Outcome()] * 4])
def test_a_batch_without_one_result_an_item_is_a_fault(tmp_path, monkeypatch, result):
    monkeypatch.setattr(Batches, "many", lambda self, items: result)
    with pytest.raises(ValueError, match=f"one result per item, got {len(result)} for 3"):
        run_stage(NoiseInBatches(3), Store(str(tmp_path)), SerialEngine())


def test_a_batch_must_hold_something(tmp_path):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        run_stage(NoiseInBatches(0), Store(str(tmp_path)), SerialEngine())
