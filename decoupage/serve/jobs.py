"""Jobs that wait for the one worker: places, positions, progress, ends; nothing of pictures, and nothing of HTTP.

One thread does all work, because one model on one device does one picture at a time. A job has a folder of its own,
which is removed when nobody has asked for it for a while. A job that nobody asks for before it is done is stopped.
"""

import logging
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from decoupage.faults import BadItem

log = logging.getLogger(__name__)

Why = Literal["cancelled", "left", "too long", "closing"]
State = Literal["receiving", "waiting", "running", "done", "failed", "cancelled"]


class Full(Exception):
    """No place is free."""


class Stopped(Exception):
    """A job was stopped before it was done: by its owner or because that one left, by its time, by the server's end."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Limits:
    """What the server takes.

    Attributes:
        max_bytes: of a request's body.
        max_pixels: of a picture.
        max_jobs: received, waiting or running at the same time.
        run_s: how long a job may run.
        left_s: a job that is not done, and that its owner has not asked for so long, is stopped; more than a minute,
            because browsers let a page that is not seen ask once a minute.
        keep_s: results are kept so long after their owner has asked for them last.
        max_kept: jobs that are done and kept; of more the oldest are removed.
    """

    max_bytes: int = 64_000_000
    max_pixels: int = 40_000_000
    max_jobs: int = 8
    run_s: float = 600.0
    left_s: float = 150.0
    keep_s: float = 900.0
    max_kept: int = 32


@dataclass(eq=False)
class Job:
    """One job; change it through `Jobs`.

    Attributes:
        id: cannot be guessed: who knows it may ask for the job and its files.
        folder: of this job alone: `given` with what came in, while it is not done; `made` with what it made.
        task: what is to be done; None while it is being received.
        step, num_steps: calls of the network, done and in all.
        seen_s: when its owner asked for it last, `time.monotonic`; infinite while the owner waits for the answer.
        ended: has None once it is done, and the fault of one that is not.
    """

    id: str
    folder: Path
    seen_s: float
    state: State = "receiving"
    task: Any = None
    step: int = 0
    num_steps: int = 0
    ended: "Future[None]" = field(default_factory=Future)
    stop: Why | None = None

    @property
    def given(self) -> Path:
        """Folder of what came in."""
        return self.folder / "given"

    @property
    def made(self) -> Path:
        """Folder of what was made."""
        return self.folder / "made"


Work = Callable[[Any, Path, Callable[[], None]], None]
"""Does a task: fills a folder, and calls the function after each step, which raises Stopped where it has to end."""


class Jobs:
    """The jobs of one server, and the thread that does them. Safe for several threads."""

    def __init__(self, work: Work, root: Path, limits: Limits) -> None:
        self.limits, self._work, self._root = limits, work, root
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def reserve(self) -> Job:
        """A place for a job that is about to be received. Raises Full, Stopped (the server is closing)."""
        with self._changed:
            if self._closing:
                raise Stopped("closing")
            self._sweep()
            if sum(job.state in ("receiving", "waiting", "running") for job in self._jobs.values()) >= (
                self.limits.max_jobs
            ):
                raise Full
            name = secrets.token_hex(16)
            job = Job(name, self._root / name, seen_s=float("inf"))
            # What is running may never notice that its future was cancelled, so it cannot be.
            job.ended.set_running_or_notify_cancel()
            self._jobs[name] = job
        for folder in (job.folder, job.given, job.made):
            folder.mkdir(mode=0o700)
        return job

    def start(self, job: Job, num_steps: int, *, attended: bool) -> None:
        """Let a job, whose task is set, wait for the worker; `attended`: its owner stays until it is done."""
        with self._changed:
            job.num_steps, job.state = num_steps, "waiting"
            job.seen_s = float("inf") if attended else time.monotonic()
            self._waiting.append(job)
            if self._closing:
                self._stop(job, "closing")
            self._changed.notify_all()

    def find(self, name: str) -> Job | None:
        """A job by its id, for its owner, who is thereby seen."""
        with self._changed:
            self._sweep()
            job = self._jobs.get(name)
            if job is not None and job.state != "receiving":
                job.seen_s = time.monotonic()
                return job
            return None

    def position(self, job: Job) -> int:
        """How many jobs are done before it; 0 once it runs."""
        with self._changed:
            is_busy = any(each.state == "running" for each in self._jobs.values())
            return self._waiting.index(job) + is_busy if job in self._waiting else 0

    def stop(self, job: Job, why: Why) -> None:
        """Stop a job: at once while it waits, after the step that it is in while it runs."""
        with self._changed:
            self._stop(job, why)

    def drop(self, job: Job) -> None:
        """Stop a job and forget it; its files go, when nothing writes to them any more."""
        with self._changed:
            self._stop(job, "cancelled")
            self._jobs.pop(job.id, None)
            if job.state != "running":
                shutil.rmtree(job.folder, ignore_errors=True)

    def end(self) -> None:
        """Take no more jobs, and stop those that there are."""
        with self._changed:
            self._closing = True
            for job in list(self._jobs.values()):
                self._stop(job, "closing")
            self._changed.notify_all()

    def close(self, wait_s: float) -> bool:
        """`end`, and wait for the step that is being done; whether that came to its end."""
        self.end()
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def counts(self) -> dict[str, int]:
        """State -> number of jobs."""
        with self._changed:
            states = [job.state for job in self._jobs.values()]
        return {state: states.count(state) for state in sorted(set(states))}

    def _stop(self, job: Job, why: Why) -> None:
        if job.state in ("waiting", "running") and job.stop is None:
            job.stop = why
        if job in self._waiting:
            self._waiting.remove(job)
            self._finish(job, Stopped(why))

    def _sweep(self) -> None:
        """Stop what nobody waits for, and remove what nobody fetches."""
        now_s = time.monotonic()
        kept = []
        for job in list(self._jobs.values()):
            if job.ended.done():
                kept.append(job)
            elif now_s - job.seen_s > self.limits.left_s:
                self._stop(job, "left")
        kept.sort(key=lambda job: job.seen_s)
        num_over = len(kept) - self.limits.max_kept
        for number, job in enumerate(kept):
            if number < num_over or now_s - job.seen_s > self.limits.keep_s:
                self.drop(job)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait(timeout=min(self.limits.left_s, 10.0))
                    self._sweep()
                job = self._waiting.popleft()
                job.state = "running"
            self._do(job)

    def _do(self, job: Job) -> None:
        started_s = time.monotonic()

        def after_step() -> None:
            with self._changed:
                job.step += 1
                self._sweep()
                if job.stop is None and time.monotonic() - started_s > self.limits.run_s:
                    job.stop = "too long"
                if job.stop is not None:
                    raise Stopped(job.stop)

        fault: Exception | None = None
        try:
            self._work(job.task, job.made, after_step)
        except Exception as error:  # The job's owner gets it, and the worker goes on.
            fault = error
            if not isinstance(error, Stopped | BadItem | ValueError):
                log.error("a job failed", exc_info=error)
        with self._changed:
            self._finish(job, fault)

    def _finish(self, job: Job, fault: Exception | None) -> None:
        if job.ended.done():
            return
        job.state = "done" if fault is None else "cancelled" if isinstance(fault, Stopped) else "failed"
        if job.seen_s == float("inf"):
            job.seen_s = time.monotonic()
        is_forgotten = job.id not in self._jobs
        shutil.rmtree(job.folder if is_forgotten else job.given, ignore_errors=True)
        if fault is None:
            job.ended.set_result(None)
        else:
            # Tracebacks would keep the arrays of their frames.
            fault.__cause__ = fault.__context__ = None
            job.ended.set_exception(fault.with_traceback(None))
