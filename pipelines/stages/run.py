"""Runs a stage: plan its shards, skip what is done, map the items on the engine, write whole shards, report.

A stage turns items into members of a tar and rows of a parquet index, shard by shard. Foregrounds, scenes, maps
and the join are all stages, each in its own room.
"""

import hashlib
import io
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from decoupage.fingerprint import Recipe, canonical_json, fingerprint
from pipelines.stages.engine import Engine, SerialEngine, ThreadEngine
from pipelines.stages.manifest import Drop, Manifest, claim, read_manifest
from pipelines.stages.progress import Progress
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import TarWriter
from pipelines.stages.task import BatchTask, Entry, Outcome, Task, ThreadedTask, map_entries

__all__ = ["BatchTask", "Outcome", "Planned", "Report", "Stage", "parquet_bytes", "run_stage", "write_quarantine"]

log = logging.getLogger(__name__)


class Planned(Protocol):
    """The plan of a stage: the part that later stages depend on."""

    @property
    def name(self) -> str:
        """The stage's folder in the store, e.g. `scenes` or `foregrounds/mulan`."""
        ...

    @property
    def recipe(self) -> Recipe:
        """Everything that decides an item's bytes."""
        ...

    @property
    def layout(self) -> Recipe:
        """Everything that decides which shard holds an item."""
        ...

    def shards(self) -> Sequence[str]:
        """All shard numbers of the stage, in order."""
        ...


class Stage(Planned, Protocol):
    """A stage, as `run_stage` takes it."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the parquet index."""
        ...

    @property
    def task(self) -> Task:
        """Turns an item, or a batch of them, into outcomes; picklable, unless it stays in this process."""
        ...

    def items(self, shard: str) -> Iterable[tuple[str, Any]]:
        """(key, item) pairs of one shard, in order; sized where the number is known, else a stream."""
        ...

    def inputs(self, shard: str) -> dict[str, str]:
        """Hashes of the shard's inputs. Raises BadSetup when an input is missing."""
        ...

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        """True when the stage would make the finished shard again with the same contents."""
        ...


@dataclass(frozen=True)
class Report:
    """Summary of a run of a stage, over the shards that were requested.

    Attributes:
        made: the shards made now; the others were there and unchanged.
    """

    stage: str
    shards: dict[str, Manifest]
    made: frozenset[str]
    seconds: float

    @property
    def num_made(self) -> int:
        """Number of shards made now."""
        return len(self.made)

    @property
    def num_items(self) -> int:
        """Number of items kept."""
        return sum(manifest.num_items for manifest in self.shards.values())

    @property
    def num_rows(self) -> int:
        """Number of rows in the parquet indexes."""
        return sum(manifest.num_rows for manifest in self.shards.values())

    @property
    def num_bytes(self) -> int:
        """Total size of the tars in bytes."""
        return sum(manifest.num_bytes for manifest in self.shards.values())

    @property
    def drops(self) -> list[Drop]:
        """All items that were not used."""
        return [drop for manifest in self.shards.values() for drop in manifest.drops]

    @property
    def drops_by_reason(self) -> dict[str, int]:
        """Reason -> number of items, most frequent first."""
        return dict(Counter(drop["reason"] for drop in self.drops).most_common())

    @property
    def counts(self) -> dict[str, int]:
        """The stage's own counts, summed over the shards."""
        total: Counter[str] = Counter()
        for manifest in self.shards.values():
            total.update(manifest.counts)
        return dict(sorted(total.items()))


def run_stage(stage: Stage, store: Store, engine: Engine, shards: Sequence[str] | None = None) -> Report:
    """Make the requested shards that are missing or stale, and report on all of them.

    A killed run leaves complete shards and temp files; the next run removes the temp files and makes the rest.

    Args:
        engine: maps the items, unless the stage's task stays in this process (see `BatchTask`).
        shards: which of the stage's shards; None = all.

    Raises:
        BadSetup: the store holds another recipe, an input is missing, or the disk is full.
    """
    started = time.monotonic()
    wanted = list(stage.shards() if shards is None else shards)
    # Inputs come first: a run that cannot start must not write `recipe.json`.
    all_inputs = {shard: stage.inputs(shard) for shard in wanted}
    claim(store, stage.name, stage.recipe, stage.layout)
    for folder in (stage.name, "quarantine"):
        store.remove_leftovers(folder)
    manifests: dict[str, Manifest] = {}
    todo: dict[str, dict[str, str]] = {}
    for shard, inputs in all_inputs.items():
        manifest = read_manifest(store, stage.name, shard)
        if manifest is not None and stage.is_current(manifest, inputs):
            manifests[shard] = manifest
        else:
            todo[shard] = inputs
    if todo:
        log.info("%s: %d of %d shards to make", stage.name, len(todo), len(wanted))
        manifests |= _make(stage, store, engine, todo)
    write_quarantine(stage.name, store)
    ordered = {shard: manifests[shard] for shard in wanted}
    report = Report(stage.name, ordered, frozenset(todo), time.monotonic() - started)
    log.info(
        "%s: %d items in %d shards (%d made now), %d dropped, %.1f MB, %.1f s",
        *(stage.name, report.num_items, len(wanted), len(todo)),
        *(len(report.drops), report.num_bytes / 1e6, report.seconds),
    )
    return report


def _make(
    stage: Stage, store: Store, engine: Engine, todo: dict[str, dict[str, str]]
) -> Iterator[tuple[str, Manifest]]:
    """Make shards one after another; items are mapped across the borders of shards, so that workers never wait."""
    # Each shard begins with an empty entry, which keeps shards without items in the stream.
    planned = {shard: stage.items(shard) for shard in todo}

    def entries() -> Iterator[Entry]:
        for shard, items in planned.items():
            yield shard, "", None
            for key, item in items:
                yield shard, key, item

    results = map_entries(stage.task, _engine_of(stage.task, engine), entries())
    sizes = [len(items) for items in planned.values() if isinstance(items, Sized)]
    total = sum(sizes) if len(sizes) == len(planned) else None
    with Progress(stage.name, "items", total) as progress:
        for shard, group in groupby(results, key=lambda result: result[0]):
            outcomes = (outcome for _, key, outcome in group if key)
            yield shard, _write_shard(stage, store, shard, progress.counting(outcomes), todo[shard])


def _engine_of(task: Task, engine: Engine) -> Engine:
    """The given engine, unless the task stays in this process."""
    if not (isinstance(task, BatchTask) and task.in_process):
        return engine
    return ThreadEngine(task.num_threads) if isinstance(task, ThreadedTask) else SerialEngine()


def _write_shard(
    stage: Stage, store: Store, shard: str, outcomes: Iterable[Outcome], inputs: dict[str, str]
) -> Manifest:
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


def parquet_bytes(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    """The rows as a parquet file; equal rows give equal bytes.

    Raises:
        ValueError: a row has a column that the schema lacks.
    """
    unknown = {key for row in rows for key in row} - set(schema.names)
    if unknown:
        raise ValueError(f"rows hold columns that the schema lacks: {sorted(unknown)}")
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer, compression="zstd")
    return buffer.getvalue()


def write_quarantine(stage: str, store: Store) -> list[Drop]:
    """Collect the drops of all finished shards of a stage in `quarantine/<stage>.jsonl`."""
    drops: list[Drop] = []
    for name in store.names(stage, ".json"):
        if name != "recipe.json":
            manifest = read_manifest(store, stage, name.removesuffix(".json"))
            drops += manifest.drops if manifest else []
    lines = b"".join(canonical_json(drop) + b"\n" for drop in drops)
    store.write(f"quarantine/{stage.replace('/', '-')}.jsonl", lines)
    return drops
