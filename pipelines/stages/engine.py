"""Engines map a task over items in this process, in its threads, or in spawned processes, with the same results.

An engine knows nothing about stages. Results are returned in the order of the items, whichever finished first.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from typing import Any, Literal, Protocol, TypeVar

import cv2

from decoupage.faults import BadSetup

Item = TypeVar("Item")
Result = TypeVar("Result")
Kind = Literal["serial", "process"]


class WorkerLost(BadSetup):
    """A worker process ended in the middle of its work: it was killed, or the system was out of memory."""


class Engine(Protocol):
    """Maps a task over items. The task is picklable, is sent to each worker once, and may keep caches."""

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """Results in the order of the items; an exception of the task ends the iteration.

        Closing the generator gives up what is not done, and leaves no process behind.
        """
        ...


class SerialEngine:
    """Maps items one after another in this process."""

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """See `Engine.map`."""
        cv2.setNumThreads(0)
        for item in items:
            yield task(item)


class ProcessEngine:
    """A pool of spawned processes (forked ones hang after torch or OpenMP ran in the parent)."""

    def __init__(self, num_workers: int) -> None:
        if num_workers < 1:
            raise ValueError(f"engine.workers must be at least 1, got {num_workers}")
        self.num_workers = num_workers

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """See `Engine.map`. Only a few items are drawn ahead of the results, so memory stays flat.

        Raises:
            WorkerLost: a worker ended in the middle of its work.
        """
        # Workers end when the other end of their pipe closes: by us when the work is given up, by the system when this
        # process is killed. They take no Ctrl-C, which a terminal sends to all of them.
        workers_end, our_end = Pipe(duplex=False)
        executor = ProcessPoolExecutor(
            self.num_workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(task, workers_end)
        )
        try:
            yield from _in_order(executor, _call, items, 4 * self.num_workers, our_end.close)
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

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """See `Engine.map`. At most one item more than there are threads is in flight, so memory stays flat."""
        cv2.setNumThreads(0)
        return _in_order(ThreadPoolExecutor(self.num_threads), task, items, self.num_threads + 1)


def _in_order(
    executor: Executor,
    call: Callable[[Item], Result],
    items: Iterable[Item],
    num_pending: int,
    give_up: Callable[[], None] = lambda: None,
) -> Generator[Result]:
    """Results in the order of the items, of which at most `num_pending` are drawn ahead; ends with its executor.

    Args:
        give_up: called when it ends before all is done, and before the executor is waited for.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            with _no_interruption():
                pending.append(executor.submit(call, item))
            if len(pending) >= num_pending:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BaseException:
        give_up()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _no_interruption() -> Iterator[None]:
    """Ctrl-C is held back inside the block; a process that is started there never gets it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def make_engine(kind: Kind, workers: int) -> Engine:
    """The engine that a profile names; `workers = 0` means one worker for each core available to this process."""
    if kind == "serial":
        return SerialEngine()
    return ProcessEngine(workers or len(os.sched_getaffinity(0)))


_task: Callable[[Any], Any] | None = None


def _start_worker(task: Callable[[Any], Any], parents_end: Connection) -> None:
    global _task
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
