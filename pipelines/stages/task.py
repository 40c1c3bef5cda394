"""A stage's task: a function of one item or of a batch, and the outcome of an item.

`run.py` plans the items and writes the outcomes.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Protocol, runtime_checkable

from decoupage.faults import BadItem
from decoupage.text_files import printable
from pipelines.stages.engine import Engine
from pipelines.stages.manifest import Drop
from pipelines.stages.tarfiles import MAX_NAME_BYTES


@dataclass(frozen=True)
class Outcome:
    """The outcome of one item.

    Attributes:
        members: name -> bytes, in the order of the tar; an item without members and rows counts as not kept.
        rows: rows of the parquet index, by column name.
        drops: parts of the item that were not used, with reasons.
        counts: named counts (rejected draws by reason, ...).
        assets: ids of the assets that it was made from, for takedowns.
    """

    members: dict[str, bytes] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    assets: tuple[str, ...] = ()


@runtime_checkable
class BatchTask(Protocol):
    """A task for batches of items, as networks take them; it may have to stay in this process."""

    @property
    def batch_size(self) -> int:
        """Number of items in a batch; the last one of a shard may hold fewer."""
        ...

    @property
    def in_process(self) -> bool:
        """True when the task keeps its model in this process, and is not sent to an engine's workers."""
        ...

    def many(self, items: Sequence[Any]) -> Sequence[Outcome | BadItem]:
        """One result for each item, in order. A bad item is returned, not raised, to keep the rest of its batch."""
        ...


@runtime_checkable
class ThreadedTask(BatchTask, Protocol):
    """A `BatchTask` that stays in this process, and may be called by several threads at once.

    While one thread's batch is on a GPU, others read, decode and encode.
    """

    @property
    def num_threads(self) -> int:
        """Number of threads that work on batches, one batch each."""
        ...


Task = Callable[[Any], Outcome] | BatchTask
"""A function of one item that raises BadItem for one that cannot be used, or a task for batches."""

Entry = tuple[str, str, Any]
"""(shard, key, item); an empty key only marks the beginning of the shard."""


def map_entries(task: Task, engine: Engine, entries: Iterable[Entry]) -> Generator[tuple[str, str, Outcome]]:
    """Map a task over entries: (shard, key, outcome) of each, in order; the outcome of a bad item only holds a drop.

    Closing the generator gives up what is not done (`Engine.map`).
    """
    batch_size = task.batch_size if isinstance(task, BatchTask) else 1
    with closing(engine.map(_Guarded(task), _batches(entries, batch_size))) as results:
        for batch in results:
            yield from batch


def _batches(entries: Iterable[Entry], batch_size: int) -> Iterator[list[Entry]]:
    """Entries in lists of `batch_size` items each; the last list of a shard may be shorter.

    Batches never cross the border of a shard: so its bytes do not depend on which shards are made in one run.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    batch: list[Entry] = []
    num_items = 0
    for entry in entries:
        if batch and entry[0] != batch[-1][0]:
            yield batch
            batch, num_items = [], 0
        batch.append(entry)
        num_items += bool(entry[1])
        if num_items == batch_size:
            yield batch
            batch, num_items = [], 0
    if batch:
        yield batch


@dataclass(frozen=True)
class _Guarded:
    """The stage's task with bad items turned into drops; any other exception is a bug, or a bad set-up, and raised."""

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
            raise ValueError(f"a task must give one result per item, got {len(results)} for {len(items)}")
        return results


def _one(task: Callable[[Any], Outcome], item: Any) -> Outcome | BadItem:
    try:
        return task(item)
    except BadItem as fault:
        return fault
    except UnicodeEncodeError as error:
        return BadItem("bad_text", f"it holds text that UTF-8 cannot hold ({error.object[error.start : error.end]!a})")


def _kept(key: str, result: Outcome | BadItem) -> Outcome:
    """The outcome as it is written: what no file can hold becomes a drop, and the text of drops is printable."""
    fault = _unwritable(result) if isinstance(result, Outcome) else result
    if fault is not None:
        return Outcome(drops=[_printable({"id": key, "reason": fault.reason, "detail": fault.detail})])
    assert isinstance(result, Outcome)
    return replace(result, drops=[_printable(drop) for drop in result.drops]) if result.drops else result


def _printable(drop: Drop) -> Drop:
    return {name: printable(text) for name, text in drop.items()}


def _unwritable(outcome: Outcome) -> BadItem | None:
    """What is wrong with the text of an outcome: captions and names come from outside."""
    for name in outcome.members:
        if not _is_utf_8(name) or len(name.encode()) > MAX_NAME_BYTES:
            return BadItem(
                "bad_name", f"{printable(name)} cannot be the name of a tar's member (UTF-8, {MAX_NAME_BYTES} bytes)"
            )
    for text in chain(outcome.assets, *(_texts(row) for row in outcome.rows)):
        if not _is_utf_8(text):
            return BadItem("bad_text", f"it holds text that UTF-8 cannot hold: {printable(text)}")
    return None


def _texts(value: Any) -> Iterator[str]:
    """All text in a value of plain lists and dicts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from chain.from_iterable(map(_texts, value.values()))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(_texts, value))


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
