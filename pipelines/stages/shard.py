"""One shard: whether it is current, its outcomes, its files; and the picklable unit of work that makes one.

A worker of an engine makes a whole shard and writes it itself, so that its bytes never pass through the process that
runs the stage. Only the manifest without its list of members comes back.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines.stages.code import require_code
from pipelines.stages.engine import Engine, SerialEngine, ThreadEngine
from pipelines.stages.leases import take
from pipelines.stages.manifest import Drop, Manifest, read_manifest
from pipelines.stages.stage import Stage
from pipelines.stages.store import Store
from pipelines.stages.tables import parquet_bytes
from pipelines.stages.tarfiles import TarWriter
from pipelines.stages.task import BatchTask, Entry, Outcome, Task, ThreadedTask, map_entries


def lease_path(stage: Stage, shard: str) -> str:
    """The object that guards a shard while it is made."""
    return f"{stage.name}/.{shard}.lock"


def without_members(manifest: Manifest) -> Manifest:
    """A manifest as reports hold it: the list of members is most of it, and is read anew where it is needed."""
    return replace(manifest, members=[])


def is_current(stage: Stage, manifest: Manifest | None, inputs: dict[str, str]) -> bool:
    """Whether a shard is there, and is what the stage would make."""
    # The folder's recipe.json may have been lost: each shard says itself which recipe made it.
    if manifest is None or manifest.fingerprint != fingerprint(stage.recipe):
        return False
    return stage.is_current(manifest, inputs)


def keeps_weights(task: Task) -> bool:
    """True for a task that loads a network, once a process."""
    return isinstance(task, BatchTask) and task.in_process


def engine_here(task: Task) -> Engine:
    """What maps the items of a task in this process."""
    return ThreadEngine(task.num_threads) if isinstance(task, ThreadedTask) else SerialEngine()


def entries(shard: str, items: Iterable[tuple[str, Any]]) -> Iterator[Entry]:
    """The items of a shard, after an empty entry, which keeps a shard without items in the stream."""
    yield shard, "", None
    for key, item in items:
        yield shard, key, item


@dataclass(frozen=True)
class Wanted:
    """A shard to make, and the hashes of its inputs as the process that runs the stage sees them."""

    shard: str
    inputs: dict[str, str]

    def __str__(self) -> str:
        return f"shard {self.shard}"


@dataclass(frozen=True)
class Made:
    """What became of a shard that a worker was given.

    Attributes:
        manifest: of the shard, without members; None = another process has it in hand.
        was_made: whether the worker made it; otherwise it was current when the worker looked.
    """

    shard: str
    manifest: Manifest | None
    was_made: bool = False


@dataclass(frozen=True)
class MakeShard:
    """Makes one shard of a stage in a worker; picklable, sent to each worker once.

    Attributes:
        folder: the working directory of the process that runs the stage, to which a profile's paths may be relative.
        code: version of the code there.
    """

    stage: Stage
    store: Store
    folder: Path
    code: str

    def __call__(self, wanted: Wanted) -> Made:
        """Make a shard, unless it is current or another process has it in hand.

        Raises:
            BadSetup: this machine has other code or sees other inputs, or as `write_shard`.
        """
        shard, inputs = wanted.shard, wanted.inputs
        require_code(self.code)
        if self.folder.is_dir():
            os.chdir(self.folder)
        held = take(self.store, lease_path(self.stage, shard))
        if held is None:
            return Made(shard, None)
        try:
            there = read_manifest(self.store, self.stage.name, shard)
            if there is not None and is_current(self.stage, there, inputs):
                return Made(shard, without_members(there))
            self._require_inputs(shard, inputs)
            mapped = map_entries(self.stage.task, engine_here(self.stage.task), entries(shard, self.stage.items(shard)))
            with closing(mapped) as results:
                outcomes = (outcome for _, key, outcome in results if key)
                return Made(shard, write_shard(self.stage, self.store, shard, outcomes, inputs), was_made=True)
        finally:
            held.release()

    def _require_inputs(self, shard: str, inputs: dict[str, str]) -> None:
        """A machine that lacks a folder of sources would drop their items one by one, and nobody would see why."""
        seen = self.stage.inputs(shard)
        if seen != inputs:
            names = sorted(name for name in seen.keys() | inputs.keys() if seen.get(name) != inputs.get(name))
            raise BadSetup(
                f"{self.store.url(self.stage.name)}/{shard}: the worker sees other inputs than the process that runs "
                f"the stage ({', '.join(names)} differ). Either they were changed while it ran: run it again; or the "
                "worker's machine lacks a folder of the profile, or has another one at its path: give all machines "
                "the same one"
            )


def write_shard(
    stage: Stage, store: Store, shard: str, outcomes: Iterable[Outcome], inputs: dict[str, str]
) -> Manifest:
    """Write tar, index and manifest of one shard, each whole or not at all, the manifest last; returns it bare.

    Raises:
        BadSetup: the disk is full, an input is damaged.
    """
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
    return without_members(manifest)
