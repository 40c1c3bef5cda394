"""Makes the shards of a stage that are missing or stale: items through the engine, outcomes into whole shards.

Several processes may make shards of one stage side by side, as Dagster's runs do. A shard is locked while it is made;
one that another process has in hand is left to it, waited for, and made only if it is then still missing.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import closing
from itertools import groupby
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines.stages.engine import Engine, SerialEngine, ThreadEngine, WorkerLost
from pipelines.stages.leases import Lease, take, wait_until_free
from pipelines.stages.manifest import Drop, Manifest, read_manifest
from pipelines.stages.progress import Progress
from pipelines.stages.stage import Stage
from pipelines.stages.store import Store
from pipelines.stages.tables import parquet_bytes
from pipelines.stages.tarfiles import TarWriter
from pipelines.stages.task import BatchTask, Entry, Outcome, Task, ThreadedTask, map_entries


class Making:
    """The work of one run of a stage.

    Args:
        stage: whose shards are made.
        store: holds them.
        engine: maps the items, unless the stage's task stays in this process.
        inputs: shard -> hashes of its inputs, for all shards that are wanted.

    Attributes:
        finished: shard -> manifest, of those that are current, made by any process.
        made: shards that this process made.
    """

    def __init__(self, stage: Stage, store: Store, engine: Engine, inputs: Mapping[str, dict[str, str]]) -> None:
        self.finished: dict[str, Manifest] = {}
        self.made: set[str] = set()
        self._stage, self._store, self._engine, self._inputs = stage, store, engine, inputs
        self._fingerprint = fingerprint(stage.recipe)
        self._seen: dict[str, Manifest | None] = {}
        self._locks: dict[str, Lease] = {}
        self._busy: list[str] = []
        for shard in inputs:
            self._look(shard)

    @property
    def todo(self) -> list[str]:
        """The shards that are missing or stale."""
        return [shard for shard in self._inputs if shard not in self.finished]

    def run(self) -> None:
        """Make what is to do.

        Raises:
            BadSetup: a worker was killed, the disk is full, an input is damaged.
        """
        while todo := self.todo:
            self._busy = []
            try:
                self._make(todo)
            finally:
                for held in self._locks.values():
                    held.release()
                self._locks.clear()
            # Nothing is locked while it waits: otherwise two processes could wait for each other forever.
            if self._busy:
                wait_until_free(self._store, self._lock_path(self._busy[0]), f"{self._stage.name}/{self._busy[0]}")

    def _look(self, shard: str) -> bool:
        """Whether a shard is there and current, by a manifest that was not looked at before."""
        manifest = read_manifest(self._store, self._stage.name, shard)
        if shard in self._seen and self._seen[shard] == manifest:
            return False
        self._seen[shard] = manifest
        # The folder's recipe.json may have been lost: each shard says itself which recipe made it.
        if manifest is None or manifest.fingerprint != self._fingerprint:
            return False
        if not self._stage.is_current(manifest, self._inputs[shard]):
            return False
        self.finished[shard] = manifest
        return True

    def _lock_path(self, shard: str) -> str:
        return f"{self._stage.name}/.{shard}.lock"

    def _begin(self, shard: str) -> bool:
        """Whether this process is to make a shard now; it is then locked."""
        held = take(self._store, self._lock_path(shard))
        if held is None:
            self._busy.append(shard)
            return False
        if self._look(shard):
            held.release()
            return False
        self._locks[shard] = held
        return True

    def _make(self, todo: list[str]) -> None:
        """Make shards one after another; items are mapped across the borders of shards, so that workers never wait."""
        stage = self._stage
        planned = {shard: stage.items(shard) for shard in todo}
        at = todo[0]

        def entries() -> Iterator[Entry]:
            # Each shard begins with an empty entry, which keeps shards without items in the stream.
            for shard, items in planned.items():
                if self._begin(shard):
                    yield shard, "", None
                    for key, item in items:
                        yield shard, key, item

        sizes = [len(items) for items in planned.values() if isinstance(items, Sized)]
        total = sum(sizes) if len(sizes) == len(planned) else None
        mapped = map_entries(stage.task, _engine_of(stage.task, self._engine), entries())
        try:
            with Progress(stage.name, "items", total) as progress, closing(mapped) as results:
                for at, group in groupby(results, key=lambda result: result[0]):
                    outcomes = (outcome for _, key, outcome in group if key)
                    self._write(at, progress.counting(outcomes))
        except WorkerLost as lost:
            raise BadSetup(f"{self._store.url(stage.name)}/{at} was not finished: {lost}") from lost

    def _write(self, shard: str, outcomes: Iterable[Outcome]) -> None:
        self.finished[shard] = write_shard(self._stage, self._store, shard, outcomes, self._inputs[shard])
        self.made.add(shard)
        if shard in self._locks:
            self._locks.pop(shard).release()


def _engine_of(task: Task, engine: Engine) -> Engine:
    """The given engine, unless the task stays in this process."""
    if not (isinstance(task, BatchTask) and task.in_process):
        return engine
    return ThreadEngine(task.num_threads) if isinstance(task, ThreadedTask) else SerialEngine()


def write_shard(
    stage: Stage, store: Store, shard: str, outcomes: Iterable[Outcome], inputs: dict[str, str]
) -> Manifest:
    """Write tar, index and manifest of one shard, each whole or not at all, the manifest last."""
    started = time.monotonic()
    rows: list[dict[str, Any]] = []
    drops: list[Drop] = []
    counts: Counter[str] = Counter()
    assets: set[str] = set()
    num_items = 0
    # The manifest is removed first and written last: without it, tar and parquet do not count as a shard.
    store.remove(f"{stage.name}/{shard}.json")
    with store.writing(f"{stage.name}/{shard}.tar") as file:
        tar = TarWriter(file)
        for outcome in outcomes:
            for name, data in outcome.members.items():
                tar.add(name, data)
            num_items += bool(outcome.members or outcome.rows)
            rows += outcome.rows
            drops += outcome.drops
            counts.update(outcome.counts)
            assets.update(outcome.assets)
        tar_sha256 = tar.finish()
    index = parquet_bytes(rows, stage.schema)
    store.write(f"{stage.name}/{shard}.parquet", index)
    manifest = Manifest(
        stage=stage.name,
        shard=shard,
        fingerprint=fingerprint(stage.recipe),
        inputs=inputs,
        num_items=num_items,
        num_rows=len(rows),
        num_bytes=tar.num_bytes,
        tar_sha256=tar_sha256,
        parquet_sha256=hashlib.sha256(index).hexdigest(),
        members=tar.members,
        drops=sorted(drops, key=lambda drop: drop["id"]),
        counts=dict(sorted(counts.items())),
        assets=sorted(assets),
        seconds=round(time.monotonic() - started, 3),
    )
    store.write(f"{stage.name}/{shard}.json", manifest.to_json())
    return manifest
