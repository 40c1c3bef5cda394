"""Makes the shards of a stage that are missing or stale: whole shards by the engine's workers, or their items.

Several processes may make shards of one stage side by side, as Dagster's runs do. A shard is locked while it is made;
one that another process has in hand is left to it, waited for, and made only if it is then still missing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import closing
from itertools import groupby
from pathlib import Path

from decoupage.faults import BadSetup
from pipelines.stages.answers import WorkerLost
from pipelines.stages.code import code_version
from pipelines.stages.engine import Engine, ShardWorkers
from pipelines.stages.leases import Lease, take, wait_until_free
from pipelines.stages.looking import looking
from pipelines.stages.manifest import Manifest, read_manifest, read_manifests
from pipelines.stages.progress import Progress
from pipelines.stages.shard import (
    Made,
    MakeShard,
    Wanted,
    engine_here,
    entries,
    is_current,
    keeps_weights,
    lease_path,
    without_members,
    write_shard,
)
from pipelines.stages.stage import Stage
from pipelines.stages.store import Store
from pipelines.stages.task import Entry, Outcome, map_entries


class Making:
    """The work of one run of a stage.

    Args:
        stage: whose shards are made.
        store: holds them.
        engine: maps the shards or their items, unless the stage's task stays in this process.
        inputs: shard -> hashes of its inputs, for all shards that are wanted.

    Attributes:
        finished: shard -> manifest without members, of those that are current, made by any process.
        made: shards that this run made.
    """

    def __init__(self, stage: Stage, store: Store, engine: Engine, inputs: Mapping[str, dict[str, str]]) -> None:
        self.finished: dict[str, Manifest] = {}
        self.made: set[str] = set()
        self._stage, self._store, self._engine, self._inputs = stage, store, engine, inputs
        self._seen: dict[str, Manifest | None] = {}
        self._held: dict[str, Lease] = {}
        self._busy: list[str] = []
        for shard, manifest in zip(inputs, read_manifests(store, stage.name, list(inputs)), strict=True):
            self._judge(shard, manifest)

    @property
    def todo(self) -> list[str]:
        """The shards that are missing or stale."""
        return [shard for shard in self._inputs if shard not in self.finished]

    def check(self) -> None:
        """Have the engine's workers look whether they can make what is to do, before anything is written.

        Raises:
            BadSetup: they cannot be reached, have other code, or do not see the root.
        """
        if workers := self._workers(len(self.todo)):
            with looking(self._store) as look:
                workers.check(look)

    def run(self) -> None:
        """Make what is to do.

        Raises:
            BadSetup: a worker was lost, the disk is full, an input is damaged.
        """
        while todo := self.todo:
            self._busy = []
            try:
                if workers := self._workers(len(todo)):
                    self._make_shards(workers, todo)
                else:
                    self._make_items(todo)
            finally:
                for held in self._held.values():
                    held.release()
                self._held.clear()
            # Nothing is locked while it waits: otherwise two processes could wait for each other forever.
            if self._busy:
                busy = self._busy[0]
                wait_until_free(self._store, lease_path(self._stage, busy), f"{self._stage.name}/{busy}")
                self._look(busy)

    def _workers(self, num_shards: int) -> ShardWorkers | None:
        return self._engine.shard_workers(num_shards, keeps_weights(self._stage.task)) if num_shards else None

    def _look(self, shard: str) -> bool:
        """Whether a shard is there and current, by a manifest that was not looked at before."""
        return self._judge(shard, read_manifest(self._store, self._stage.name, shard))

    def _judge(self, shard: str, manifest: Manifest | None) -> bool:
        bare = without_members(manifest) if manifest else None
        if shard in self._seen and self._seen[shard] == bare:
            return False
        self._seen[shard] = bare
        if bare is None or not is_current(self._stage, bare, self._inputs[shard]):
            return False
        self.finished[shard] = bare
        return True

    def _make_shards(self, workers: ShardWorkers, todo: list[str]) -> None:
        """Whole shards: each worker writes what it makes, and only manifests come back."""
        stage = self._stage
        task = MakeShard(stage, self._store, Path.cwd(), code_version())
        work = workers.map(task, (Wanted(shard, self._inputs[shard]) for shard in todo))
        num_items = num_drops = 0
        try:
            with Progress(stage.name, "shards", len(todo)) as progress, closing(work) as results:
                for made in progress.counting(results):
                    self._take(made)
                    if made.was_made and made.manifest:
                        num_items += made.manifest.num_items
                        num_drops += len(made.manifest.drops)
                        progress.note = f"{num_items} items, {num_drops} dropped"
        except WorkerLost as lost:
            raise BadSetup(f"{self._store.url(stage.name)} was not finished: {lost}") from lost
        finally:
            self._clear_up()

    def _clear_up(self) -> None:
        """Remove what workers leave that were killed; in an object store, leases end by themselves."""
        stage = self._stage.name
        self._store.remove_leftovers(stage)
        if self._store.is_local:
            for name in self._store.names(stage, ".lock"):
                if held := take(self._store, f"{stage}/{name}"):
                    held.release()

    def _take(self, made: Made) -> None:
        if made.manifest is None:
            self._busy.append(made.shard)
            return
        self.finished[made.shard] = made.manifest
        if made.was_made:
            self.made.add(made.shard)

    def _make_items(self, todo: list[str]) -> None:
        """One shard after another in this process; items are mapped ahead into the next, so that workers never wait."""
        stage = self._stage
        engine = engine_here(stage.task) if keeps_weights(stage.task) else self._engine
        at, num_begun, num_planned = todo[0], 0, 0

        def begun() -> Iterator[Entry]:
            nonlocal num_begun, num_planned
            for num_passed, shard in enumerate(todo):
                if self._begin(shard):
                    items = stage.items(shard)
                    if isinstance(items, Sized):
                        num_begun, num_planned = num_begun + 1, num_planned + len(items)
                        # The shards to come are taken to be as large as those that have begun.
                        progress.total = num_planned + round(num_planned / num_begun * (len(todo) - num_passed - 1))
                    yield from entries(shard, items)

        mapped = map_entries(stage.task, engine, begun())
        try:
            with Progress(stage.name, "items") as progress, closing(mapped) as results:
                for at, group in groupby(results, key=lambda result: result[0]):
                    outcomes = (outcome for _, key, outcome in group if key)
                    self._write(at, progress.counting(outcomes))
        except WorkerLost as lost:
            raise BadSetup(f"{self._store.url(stage.name)}/{at} was not finished: {lost}") from lost

    def _begin(self, shard: str) -> bool:
        """Whether this process is to make a shard now; it is then locked."""
        held = take(self._store, lease_path(self._stage, shard))
        if held is None:
            self._busy.append(shard)
            return False
        if self._look(shard):
            held.release()
            return False
        self._held[shard] = held
        return True

    def _write(self, shard: str, outcomes: Iterable[Outcome]) -> None:
        self.finished[shard] = write_shard(self._stage, self._store, shard, outcomes, self._inputs[shard])
        self.made.add(shard)
        self._held.pop(shard).release()
