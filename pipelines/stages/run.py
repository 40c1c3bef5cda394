"""Runs a stage: plan its shards, skip what is done, map the items on the engine, write whole shards, report.

A stage turns items into members of a tar and rows of a parquet index, shard by shard. Foregrounds, scenes, maps
and the join are all stages, each in its own package.
"""

import logging
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from decoupage.fingerprint import canonical_json
from pipelines.stages.engine import Engine
from pipelines.stages.making import Making
from pipelines.stages.manifest import Drop, Manifest, claim, read_manifest
from pipelines.stages.plan import beyond, named, write_plan
from pipelines.stages.stage import Planned, Stage
from pipelines.stages.store import Store
from pipelines.stages.tables import parquet_bytes
from pipelines.stages.task import BatchTask, Outcome

__all__ = ["BatchTask", "Outcome", "Planned", "Report", "Stage", "parquet_bytes", "run_stage", "write_quarantine"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """Summary of a run of a stage, over the shards that were requested.

    Attributes:
        stage: name of the stage.
        shards: number of each requested shard -> its manifest, without the list of members.
        made: the shards that this run made; the others were there.
        seconds: duration.
        beyond: shards in the stage's folder that the profile no longer plans; nothing reads them.
    """

    stage: str
    shards: dict[str, Manifest]
    made: frozenset[str]
    seconds: float
    beyond: tuple[str, ...] = ()

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

    A killed run leaves complete shards and temp files; the next run removes the temp files and makes the rest. A shard
    that another process makes at the moment is waited for, not made twice.

    Args:
        engine: maps whole shards or their items, unless the stage's task stays in this process (see `BatchTask`).
        shards: which of the stage's shards; None = all.

    Raises:
        BadSetup: the store holds another recipe, an input is missing, or the disk is full.
    """
    started = time.monotonic()
    planned = list(stage.shards())
    wanted = planned if shards is None else list(shards)
    # Inputs come first: a run that cannot start must not write `recipe.json`.
    all_inputs = {shard: stage.inputs(shard) for shard in wanted}
    making = Making(stage, store, engine, all_inputs)
    making.check()
    claim(store, stage.name, stage.recipe, stage.layout)
    write_plan(store, stage.name, planned)
    for folder in (stage.name, "quarantine"):
        store.remove_leftovers(folder)
    if todo := making.todo:
        log.info("%s: %d of %d shards to make", stage.name, len(todo), len(wanted))
        making.run()
    write_quarantine(stage.name, store, planned)
    ordered = {shard: making.finished[shard] for shard in wanted}
    more = beyond(store, stage.name, planned)
    report = Report(stage.name, ordered, frozenset(making.made), time.monotonic() - started, more)
    log.info(
        "%s: %d items in %d shards (%d made now), %d dropped, %.1f MB, %.1f s%s",
        *(stage.name, report.num_items, len(wanted), report.num_made),
        *(len(report.drops), report.num_bytes / 1e6, report.seconds),
        f"; beyond the plan, and not read: {named(more)}" if more else "",
    )
    return report


def write_quarantine(stage: str, store: Store, shards: Collection[str]) -> list[Drop]:
    """Collect the drops of these shards of a stage, as far as they are finished, in `quarantine/<stage>.jsonl`."""
    drops: list[Drop] = []
    for shard in sorted(shards):
        manifest = read_manifest(store, stage, shard)
        drops += manifest.drops if manifest else []
    lines = b"".join(canonical_json(drop) + b"\n" for drop in drops)
    store.write(f"quarantine/{stage.replace('/', '-')}.jsonl", lines)
    return drops
