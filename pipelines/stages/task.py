"""What a stage does to its items: a task, what an item becomes, and how items are handed over one by one or in batches.

Which items there are, and what is written of them, is the business of `stage.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol, runtime_checkable

from decoupage.faults import BadItem
from pipelines.stages.engine import Engine
from pipelines.stages.manifest import Drop


@dataclass(frozen=True)
class Outcome:
    """What one item became.

    Attributes:
        members: name -> bytes, in the order they enter the tar; an item without members and rows gave nothing.
        rows: rows of the parquet index, by column name.
        drops: parts of the item that were not used, with reasons.
        counts: named tallies (why draws were rejected, ...).
        assets: ids of what it was made from, for takedowns.
    """

    members: dict[str, bytes] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    assets: tuple[str, ...] = ()


@runtime_checkable
class BatchTask(Protocol):
    """What a stage's task may be beside a function of one item: nets take several at once, and stay where they are."""

    @property
    def batch_size(self) -> int:
        """How many items are handed over at once, across the borders of shards; the last batch may hold fewer."""
        ...

    @property
    def in_process(self) -> bool:
        """True when what it needs is loaded into this process and kept: it is not sent to an engine's workers."""
        ...

    def many(self, items: Sequence[Any]) -> Sequence[Outcome | BadItem]:
        """One result for each item, in order. A bad item is returned, not raised: it must not spoil its batch."""
        ...


@runtime_checkable
class ThreadedTask(BatchTask, Protocol):
    """A `BatchTask` that stays in this process, and that several of its threads may call at once.

    While one thread's batch is on a GPU, others read, decode and encode.
    """

    @property
    def num_threads(self) -> int:
        """How many threads are to work on batches; each holds one."""
        ...


Task = Callable[[Any], Outcome] | BatchTask
"""A function of one item that raises BadItem for one that cannot be used, or a task for batches."""

Entry = tuple[str, str, Any]
"""(shard, key, item); without a key it only says that the shard begins."""


def map_entries(task: Task, engine: Engine, entries: Iterable[Entry]) -> Iterator[tuple[str, str, Outcome]]:
    """(shard, key, outcome) of each entry, in order; bad items are outcomes that hold a drop only."""
    batch_size = task.batch_size if isinstance(task, BatchTask) else 1
    return chain.from_iterable(engine.map(_Guarded(task), _batches(entries, batch_size)))


def _batches(entries: Iterable[Entry], batch_size: int) -> Iterator[list[Entry]]:
    """Entries in lists of `batch_size` items each; the last holds what is left."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    batch: list[Entry] = []
    num_items = 0
    for entry in entries:
        batch.append(entry)
        num_items += bool(entry[1])
        if num_items == batch_size:
            yield batch
            batch, num_items = [], 0
    if batch:
        yield batch


@dataclass(frozen=True)
class _Guarded:
    """The stage's task with bad items turned into drops; anything else it raises is a fault of ours."""

    task: Task

    def __call__(self, batch: list[Entry]) -> list[tuple[str, str, Outcome]]:
        results = iter(self._results([item for _, key, item in batch if key]))
        return [(shard, key, _kept(key, next(results)) if key else Outcome()) for shard, key, _ in batch]

    def _results(self, items: list[Any]) -> Sequence[Outcome | BadItem]:
        task = self.task
        if not isinstance(task, BatchTask):
            return [_one(task, item) for item in items]
        results = task.many(items) if items else []
        if len(results) != len(items):
            raise ValueError(f"a task must give one result an item, got {len(results)} for {len(items)}")
        return results


def _one(task: Callable[[Any], Outcome], item: Any) -> Outcome | BadItem:
    try:
        return task(item)
    except BadItem as fault:
        return fault


def _kept(key: str, result: Outcome | BadItem) -> Outcome:
    if isinstance(result, Outcome):
        return result
    return Outcome(drops=[{"id": key, "reason": result.reason, "detail": result.detail}])
