"""Engines map a task over items in this process, in its threads, in processes or on a cluster: same results.

An engine knows nothing about stages. Where it has workers, it may take whole shards: then a worker writes what it makes
itself, and little comes back.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

import cv2

from pipelines.stages.answers import WorkerLost

Item = TypeVar("Item")
Result = TypeVar("Result")
SHARDS_PER_WORKER = 2
"""From so many shards a worker on, processes take whole shards: the last ones then leave few workers idle."""


class ShardWorkers(Protocol):
    """Workers that make whole shards and write them themselves."""

    def check(self, look: Callable[[], str]) -> None:
        """Have every machine look at something before work starts.

        Args:
            look: picklable; says what is wrong on the machine that calls it, or nothing.

        Raises:
            BadSetup: the workers cannot be reached, are not there, or one of their machines found something wrong.
        """
        ...

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """As `Engine.map`, but results come as they are finished, in any order."""
        ...


class Engine(Protocol):
    """Maps a task over items. The task is picklable, is sent to each worker once, and may keep caches."""

    def shard_workers(self, num_shards: int, keeps_weights: bool) -> ShardWorkers | None:
        """Workers for so many whole shards; None where the engine rather maps their items.

        Args:
            keeps_weights: the work needs the weights of a network, which a worker loads once and keeps.
        """
        ...

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """Results in the order of the items; an exception of the task ends the iteration.

        Closing the generator gives up what is not done, and leaves no process behind.
        """
        ...


class SerialEngine:
    """Maps items one after another in this process."""

    def shard_workers(self, num_shards: int, keeps_weights: bool) -> None:
        """None: see `Engine.shard_workers`."""

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """See `Engine.map`."""
        cv2.setNumThreads(0)
        for item in items:
            yield task(item)


class ProcessEngine:
    """A pool of processes, forked by a server that has only imported (of one in which torch or OpenMP ran, forks hang).

    The server starts with the first pool and ends with this process, so only that pool waits for imports.

    Args:
        num_workers: processes.
        imports: modules that the server imports.
    """

    def __init__(self, num_workers: int, imports: Sequence[str] = ()) -> None:
        if num_workers < 1:
            raise ValueError(f"engine.workers must be at least 1, got {num_workers}")
        self.num_workers = num_workers
        self._imports = tuple(imports)

    def shard_workers(self, num_shards: int, keeps_weights: bool) -> "ShardWorkers | None":
        """See `Engine.shard_workers`; weights are loaded once, so their work stays in this process."""
        if keeps_weights or num_shards < SHARDS_PER_WORKER * self.num_workers:
            return None
        return _ShardProcesses(self.num_workers, self._imports)

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """See `Engine.map`. Only a few items are drawn ahead of the results, so memory stays flat.

        Raises:
            WorkerLost: a worker ended in the middle of its work.
        """
        return _by_processes(task, items, self.num_workers, 4 * self.num_workers, _in_order, self._imports)


@dataclass(frozen=True)
class _ShardProcesses:
    """See `ShardWorkers`; processes of this machine, which see what this one sees."""

    num_workers: int
    imports: tuple[str, ...]

    def check(self, look: Callable[[], str]) -> None:
        """Nothing can differ: it is the same machine and the same code."""

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        return _by_processes(task, items, self.num_workers, self.num_workers + 1, _as_finished, self.imports)


def _by_processes(
    task: Callable[[Item], Result],
    items: Iterable[Item],
    num_workers: int,
    num_pending: int,
    gather: "_Gather",
    imports: tuple[str, ...],
) -> Generator[Any]:
    # Workers end when the other end of their pipe closes: by us when the work is given up, by the system when this
    # process is killed. They take no Ctrl-C, which a terminal sends to all of them.
    workers_end, our_end = Pipe(duplex=False)
    forking = get_context("forkserver")
    forking.set_forkserver_preload(list(imports))
    executor = ProcessPoolExecutor(
        num_workers,
        mp_context=forking,
        initializer=_start_worker,
        initargs=(task, workers_end, dict(os.environ)),
    )
    try:
        yield from gather(_submit(executor, _call, items), executor, num_pending, our_end.close)
    except BrokenProcessPool as error:
        raise WorkerLost(
            "a worker process ended: it was killed, perhaps because memory ran out (lower engine.workers), or "
            "could not start (see its output above); run the same command again to continue"
        ) from error
    finally:
        our_end.close()
        workers_end.close()


class ThreadEngine:
    """Threads of this process, for tasks that keep weights in it and may be called by several threads at once."""

    def __init__(self, num_threads: int) -> None:
        if num_threads < 1:
            raise ValueError(f"a thread engine needs at least 1 thread, got {num_threads}")
        self.num_threads = num_threads

    def shard_workers(self, num_shards: int, keeps_weights: bool) -> None:
        """None: see `Engine.shard_workers`."""

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """See `Engine.map`. At most one item more than there are threads is in flight, so memory stays flat."""
        cv2.setNumThreads(0)
        executor = ThreadPoolExecutor(self.num_threads)
        return _in_order(_submit(executor, task, items), executor, self.num_threads + 1)


def _submit(executor: Executor, call: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Future[Result]]:
    for item in items:
        with _no_interruption():
            future = executor.submit(call, item)
        yield future


def _in_order(
    submitted: Iterator[Future[Result]],
    executor: Executor,
    num_pending: int,
    give_up: Callable[[], None] = lambda: None,
) -> Generator[Result]:
    """Results in the order of the items, of which at most `num_pending` are drawn ahead; ends with its executor.

    Args:
        give_up: called when it ends before all is done, and before the executor is waited for.
    """
    pending: deque[Future[Result]] = deque()
    with _ending(executor, give_up):
        for future in submitted:
            pending.append(future)
            if len(pending) >= num_pending:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _as_finished(
    submitted: Iterator[Future[Result]], executor: Executor, num_pending: int, give_up: Callable[[], None]
) -> Generator[Result]:
    """As `_in_order`, but results come as they are finished."""
    pending: set[Future[Result]] = set()
    with _ending(executor, give_up):
        for future in chain(submitted, [None]):
            pending |= {future} if future else set()
            while pending and (len(pending) >= num_pending or future is None):
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for finished in done:
                    yield finished.result()


@contextmanager
def _ending(executor: Executor, give_up: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        give_up()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


_Gather = Callable[[Iterator[Future[Any]], Executor, int, Callable[[], None]], Generator[Any]]


@contextmanager
def _no_interruption() -> Iterator[None]:
    """Ctrl-C is held back inside the block; a process that is started there never gets it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_task: Callable[[Any], Any] | None = None


def _start_worker(task: Callable[[Any], Any], parents_end: Connection, environment: dict[str, str]) -> None:
    global _task
    # Those of the server are of the time when it started.
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_leave_when_closed, args=(parents_end,), daemon=True).start()
    # Items run in parallel; threads inside OpenCV would only compete for the same cores.
    cv2.setNumThreads(0)
    _task = task


def _leave_when_closed(parents_end: Connection) -> None:
    try:
        parents_end.poll(None)
    finally:
        os._exit(1)


def _call(item: Any) -> Any:
    assert _task is not None, "the worker was not started by ProcessEngine"
    return _task(item)
