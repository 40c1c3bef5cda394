"""The checkpoints of a run: written completely or not at all, in the background; the last ones and the best are kept.

Rank 0 writes all files, in a thread in which nothing waits for another rank. What is in one: `checkpoint_files.py`; how
they get to an object store: `remote.py`.
"""

import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError

from decoupage.faults import BadSetup
from training.averages import Averages
from training.checkpoint_files import AVERAGED, Progress, fault_of, flush, rewrite_state, write_files
from training.remote import STATE, Remote
from training.sharding import of_all_ranks
from training.state import Learner, copied, copied_optimiser, random_states

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run; a context that ends when everything is written.

    Args:
        folder: `<run>/checkpoints`.
        keep_last: number of checkpoints that are kept in addition to the best one.
        device: of this process.
        rank, world_size: rank of this process and number of ranks.
        remote: the run's folder in an object store, of which `folder` is in this machine's copy.
    """

    def __init__(
        self,
        folder: Path,
        keep_last: int,
        device: torch.device | None = None,
        rank: int = 0,
        world_size: int = 1,
        remote: Remote | None = None,
    ) -> None:
        self.folder, self._keep_last, self._remote = folder, keep_last, remote
        self._device = device or torch.device("cpu")
        self._is_main, self._world_size = rank == 0, world_size
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._write: Future[None] | None = None
        self._pruned: tuple[int | None] | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()
        if self._is_main and self._remote is not None:
            self._remote.wait()
        if kind is None:
            self.finish()
        elif self._write is not None and (fault := self._write.exception()) is not None:
            _log.error("the last checkpoint could not be written: %s", fault)

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, here and in the object store, in order."""
        there = self._remote.steps if self._remote else []
        return sorted({*self._steps_here(), *there})

    def _steps_here(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def path(self, step: int) -> Path:
        """Folder of a checkpoint."""
        return self.folder / f"{step:07d}"

    def latest(self) -> Path | None:
        """Folder of the newest checkpoint; None when there is none."""
        steps = self.steps()
        return self.path(steps[-1]) if steps else None

    # ---- writing

    def save(self, learners: Mapping[str, Learner], averages: Averages | None, progress: Progress) -> Path:
        """Copy the state and begin to write it; every process calls it. Older checkpoints go once it is whole.

        It waits until the write before is done, so there is one copy at a time.

        Raises:
            BadSetup, OSError: the write before failed.
        """
        self.wait()
        files: dict[str, Any] = {}
        for name, learner in learners.items():
            files[f"{name}.safetensors"] = copied(learner.parameters, self._is_main)
            files[f"{name}.optimiser.pt"] = copied_optimiser(learner, self._is_main)
        if averages is not None:
            files[AVERAGED] = copied(averages.values, self._is_main)
        for rank, states in enumerate(of_all_ranks(random_states(self._device))):
            files[f"random-{rank}.pt"] = states
        if self._is_main:
            self._write = self._pool.submit(self._write_files, files, asdict(progress))
        return self.path(progress.step)

    def note(self, progress: Progress) -> None:
        """Add to the newest checkpoint what was measured after it was saved (its validation loss)."""
        if self._is_main:
            before, state = self._write, asdict(progress)
            self._write = self._pool.submit(self._write_state, before, state)

    def finish(self) -> None:
        """Wait until everything is written, to the object store too; every process calls it.

        Raises:
            OSError, BadSetup: it could not be.
        """
        self.wait()
        if self._is_main and self._remote is not None:
            self._remote.wait()
            if self._pruned:
                self._prune(*self._pruned)
            self._remote.finish()
        if self._world_size > 1:
            torch.distributed.barrier()

    def wait(self) -> None:
        """Wait for what this process writes. Raises BadSetup or OSError: it could not be written."""
        write, self._write = self._write, None
        if write is not None:
            write.result()

    def _write_files(self, files: dict[str, Any], state: dict[str, Any]) -> None:
        final = self.path(state["step"])
        partial, old = (self.folder / f".{final.name}.{kind}" for kind in ("partial", "old"))
        for left in [*self.folder.glob(".*.partial"), *self.folder.glob(".*.old")]:
            shutil.rmtree(left)
        try:
            partial.mkdir(parents=True)
            write_files(partial, files, state)
        except (
            OSError,
            RuntimeError,
            SafetensorError,
        ) as error:  # Both libraries have their own for a full disk.
            free_mb = shutil.disk_usage(self.folder).free / 1e6
            shutil.rmtree(partial, ignore_errors=True)
            raise BadSetup(
                f"checkpoint {final} could not be written ({error}; {free_mb:.1f} MB were free on its disk): free "
                "space there, or mend what it says, and continue with --resume"
            ) from error
        if final.exists():
            final.rename(old)
        partial.rename(final)
        flush(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        self._prune(state["best_step"])

    def _write_state(self, before: Future[None] | None, state: dict[str, Any]) -> None:
        if before is not None:
            before.result()
        rewrite_state(self.path(state["step"]), state)
        self._prune(state["best_step"])

    def _prune(self, best_step: int | None) -> None:
        steps, self._pruned = self.steps(), (best_step,)
        # One that is going up may stay until the next time, or slow uploads would never end.
        kept = {*steps[-self._keep_last :], best_step, self._remote.busy if self._remote else None}
        for step in self._steps_here():
            if step not in kept:
                shutil.rmtree(self.path(step))
        if self._remote is not None:
            self._remote.mirror([step for step in steps if step in kept])

    # ---- choosing

    def newest_sound(self) -> Path | None:
        """Folder of the newest checkpoint whose files are intact, the same for all ranks; None if there is none.

        Every process calls it. Newer ones that are damaged are set aside under another name, with a warning.

        Raises:
            BadSetup: there are checkpoints, and all are damaged.
        """
        answer: list[Any] = [None, None]
        if self._is_main:
            try:
                answer[0] = self._choose()
            except BadSetup as error:  # All ranks are to stop.
                answer[1] = str(error)
        if self._world_size > 1:
            torch.distributed.broadcast_object_list(answer)
        step, fault = answer
        if fault is not None:
            raise BadSetup(fault)
        return None if step is None else self.here(step)

    def here(self, step: int) -> Path:
        """Folder of a finished checkpoint, fetched where this machine does not have it."""
        if self._remote is not None and not (self.path(step) / STATE).is_file():
            self._remote.fetch(step)
        return self.path(step)

    def _choose(self) -> int | None:
        damaged: dict[Path, str] = {}
        for step in reversed(self.steps()):
            fault = self._fault_of(step)
            if not fault:
                for broken, why in damaged.items():
                    self._set_aside(broken, why)
                return step
            damaged[self.path(step)] = fault
        if damaged:
            named = "; ".join(f"{path} ({fault})" for path, fault in damaged.items())
            raise BadSetup(f"no checkpoint can be loaded: {named}. Restore one, or remove {self.folder} to start again")
        return None

    def _fault_of(self, step: int) -> str:
        """What is wrong with a checkpoint; one that is damaged here alone is fetched again."""
        if self._remote is None or step not in self._remote.steps:
            return fault_of(self.path(step))
        self._remote.fetch(step)
        if fault_of(self.path(step)):
            shutil.rmtree(self.path(step))
            self._remote.fetch(step)
        return fault_of(self.path(step))

    def _set_aside(self, broken: Path, why: str) -> None:
        aside = broken.with_name(f"{broken.name}.damaged")
        shutil.rmtree(aside, ignore_errors=True)
        broken.rename(aside)
        if self._remote is not None:
            self._remote.remove(int(broken.name))
        _log.warning("checkpoint %s is damaged (%s): kept as %s, not used", broken, why, aside.name)
