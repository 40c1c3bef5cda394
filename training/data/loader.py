"""The endless stream of batches of one training process, read by range from shards in any store.

Ranges of the tar, found through the manifests, and not WebDataset's stream shuffle: a shuffle buffer cannot start at
sample n without reading all that came before, and its order depends on the number of workers. The files stay
WebDataset's format.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from multiprocessing.util import Finalize

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from decoupage.faults import BadItem, BadSetup
from decoupage.maps.table import StoredMaps, decode_maps
from pipelines.scenes.parts import SceneParts
from pipelines.stages.store import Store
from training.data.ahead import ReadAhead
from training.data.cache import SceneCache, Unreachable
from training.data.config import DataLoading
from training.data.index import SceneIndex, open_index
from training.data.order import candidates, rank_batches
from training.data.selection import select
from training.data.triplets import TripletBatch, collate, make_sample

_log = logging.getLogger(__name__)

_UNREADABLE = (BadItem, BadSetup, OSError, KeyError, ValueError)
"""Exceptions that reading and decoding a damaged or lost scene raises; nothing else is done under them."""


@dataclass(frozen=True)
class Drawn:
    """What a worker made of one position: a sample (a batch of one), and the scenes that it could not read, and why.

    `fault`: why it gave up, where no scene is at fault.
    """

    sample: TripletBatch | None
    unreadable: tuple[tuple[str, str], ...]
    fault: str = ""


@dataclass(frozen=True)
class DrawnBatch:
    """What a worker sends: one batch, because many small tensors travel slowly; None if a sample is missing."""

    batch: TripletBatch | None
    num_drawn: int
    unreadable: tuple[tuple[str, str], ...]
    fault: str = ""


@dataclass(frozen=True)
class Collate:
    """Makes a batch of what was drawn; rank and step (samples of all processes' batches) say where it ends."""

    rank: int
    step: int

    def __call__(self, drawn: list[Drawn]) -> DrawnBatch:
        """Samples side by side, and all that could not be read."""
        unreadable = tuple(fault for one in drawn for fault in one.unreadable)
        samples = [one.sample for one in drawn if one.sample is not None]
        is_whole = len(samples) == len(drawn)
        batch = collate(samples, samples[0].positions[0] - self.rank + self.step) if is_whole else None
        return DrawnBatch(batch, len(drawn), unreadable, next((one.fault for one in drawn if one.fault), ""))


@dataclass(frozen=True)
class Triplets(Dataset[Drawn]):
    """Samples by global position; every worker has a copy, which remembers nothing but what it has asked for early.

    Attributes:
        step: samples of all processes' batches: how far a worker's next batch is from this one, if it is the only one.
    """

    index: SceneIndex
    loading: DataLoading
    step: int = 1

    @cached_property
    def _reader(self) -> ReadAhead | None:
        return None if self.index.store.is_local else ReadAhead(self.index)

    def __getitems__(self, positions: list[int]) -> list[Drawn]:
        """The samples of a batch. Scenes of an object store are fetched side by side, with those of batches to come."""
        if self._reader is not None:
            self._reader.expect(self._scenes_from(positions), len(positions))
        return [self[position] for position in positions]

    def _scenes_from(self, positions: list[int]) -> Iterator[int]:
        """Scenes of this worker's batches in order, from one on: workers take turns."""
        worker = get_worker_info()
        stride = self.step * (worker.num_workers if worker else 1)
        for shift in count(0, stride):
            for position in positions:
                number = next(candidates(self.loading.seed, position + shift, self.index.num_triplets))
                yield self.index.triplet(number)[0]

    def __getitem__(self, position: int) -> Drawn:
        """The sample at a position, or the next readable one of its epoch."""
        num_triplets = self.index.num_triplets
        unreadable: dict[int, tuple[str, str]] = {}
        for number in candidates(self.loading.seed, position, num_triplets):
            i, layer = self.index.triplet(number)
            if i in unreadable:
                continue
            try:
                members = self._reader.read(i) if self._reader else self.index.read(i)
                parts, maps = decode_scene(self.index, i, members, self.loading)
            except Unreachable as error:
                return Drawn(None, tuple(unreadable.values()), str(error))
            except _UNREADABLE as error:
                unreadable[i] = (str(self.index.keys[i]), str(error) or repr(error))
                if len(unreadable) > self.loading.max_unreadable_share * len(self.index):
                    break  # The run stops anyway; see Unreadable.
                continue
            sample = make_sample(parts, layer, maps, position, position // num_triplets, self.loading)
            return Drawn(sample, tuple(unreadable.values()))
        return Drawn(None, tuple(unreadable.values()))


def decode_scene(
    index: SceneIndex, i: int, members: Mapping[str, bytes], loading: DataLoading
) -> tuple[SceneParts, StoredMaps]:
    """Scene i of its members; its maps when any are wanted.

    Raises:
        BadItem, KeyError, ValueError: it cannot be decoded.
    """
    return SceneParts.decode(str(index.keys[i]), members), decode_maps(members, loading.maps)


class Unreadable:
    """Counts scenes that cannot be read, each once.

    Args:
        num_scenes: in all.
        world_size: processes that share them; each sees only its own.
        max_share: of the scenes that this process has drawn, or would in an epoch, that may be unreadable.
    """

    def __init__(self, num_scenes: int, world_size: int, max_share: float) -> None:
        self.reasons: dict[str, str] = {}
        self._num_scenes = num_scenes
        self._part = num_scenes / world_size
        self._max_share = max_share
        self._num_drawn = 0

    def note(self, drawn: DrawnBatch) -> TripletBatch:
        """Count the unreadable scenes met while a batch was made; returns the batch.

        Raises:
            BadSetup: more than the set share is unreadable, or the store cannot be reached.
        """
        if drawn.fault:
            raise BadSetup(drawn.fault)
        self._num_drawn += drawn.num_drawn
        for key, reason in drawn.unreadable:
            if key not in self.reasons:
                self.reasons[key] = reason
                _log.warning("scene %s is skipped because it cannot be read: %s", key, reason)
        among = max(self._part, min(self._num_drawn, self._num_scenes))
        if drawn.batch is None or len(self.reasons) > self._max_share * among:
            key, reason = list(self.reasons.items())[-1]
            raise BadSetup(
                f"{len(self.reasons)} of {among:.0f} scenes cannot be read, more than data.max_unreadable_share = "
                f"{self._max_share:g}; the last one is {key}: {reason}"
            )
        return drawn.batch


class TripletLoader:
    """Batches of triplets for one of `world_size` training processes.

    Give the batches to the model as they are: `accelerate.prepare` would share them out a second time.

    Args:
        source: a dataset's store, or the path or fsspec URL of its root, of a folder of shards, or of one `.tar`.
        rank, world_size: which process this is, and of how many.
        pin_memory: put batches into page-locked memory, for a GPU.

    Raises:
        BadSetup: as `open_index` and `select`; or the scenes lack maps, or are smaller than requested.
        ValueError: rank is not below world_size.
    """

    def __init__(
        self, source: Store | str, loading: DataLoading, rank: int = 0, world_size: int = 1, pin_memory: bool = False
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in [0, {world_size - 1}], got {rank}")
        index = select(open_index(source), loading)
        if not index.store.is_local:
            index = replace(index, cache=SceneCache(int(loading.cache_gb * 1e9)))
        self.index = index
        self.loading = loading
        if loading.maps:
            self.index.require([f"{name}.png" for name in loading.maps], "join the maps, or train with data.maps = ()")
        if not loading.redraw_masks:
            self.index.require(["mask0.png"], "join the masks, or train with data.redraw_masks = true")
        self._rank, self._world_size, self._pin_memory = rank, world_size, pin_memory
        self._unreadable = Unreadable(len(self.index), world_size, loading.max_unreadable_share)
        self.scene_px, self.size_px = self._check_sizes()

    @property
    def num_triplets(self) -> int:
        """Samples of an epoch: the layers of the scenes that are drawn from."""
        return self.index.num_triplets

    @property
    def unreadable(self) -> dict[str, str]:
        """Reason by key of each scene that this process has skipped so far."""
        return dict(self._unreadable.reasons)

    def scene(self, key: str) -> tuple[SceneParts, StoredMaps]:
        """A scene of the index as it is stored, with the maps that are wanted.

        Raises:
            BadItem, BadSetup, OSError, KeyError, ValueError: it cannot be read.
        """
        i = int(np.flatnonzero(self.index.keys == key)[0])
        return decode_scene(self.index, i, self.index.read(i), self.loading)

    def batches(self, start: int = 0) -> Iterator[TripletBatch]:
        """Batches without end, from a global position on (`TripletBatch.end` of the last batch a run has used).

        Each call starts new workers, which end with the iterator; they are spawned, because torch does not survive a
        fork, so a script that uses them needs its `if __name__ == "__main__"`.

        Raises:
            BadSetup: too many scenes cannot be read; the message names the last one.
            ValueError: start is negative.
        """
        if start < 0:
            raise ValueError(f"start must be at least 0, got {start}")
        return self._batches(start)

    def _batches(self, start: int) -> Iterator[TripletBatch]:
        for drawn in self._data_loader(start):
            batch = self._unreadable.note(drawn)
            yield batch.pin_memory() if self._pin_memory else batch

    def _data_loader(self, start: int) -> "DataLoader[DrawnBatch]":
        num_workers, step = self.loading.num_workers, self.loading.batch_size * self._world_size
        return DataLoader(
            Triplets(self.index, self.loading, step),
            batch_sampler=rank_batches(start, self._rank, self._world_size, self.loading.batch_size),
            num_workers=num_workers,
            collate_fn=Collate(self._rank, step),
            worker_init_fn=_start_worker,
            multiprocessing_context="spawn" if num_workers else None,
            prefetch_factor=self.loading.prefetch_batches if num_workers else None,
        )

    def _check_sizes(self) -> tuple[int, int]:
        """Sides of scenes and samples, in pixels, by the first scene that can be read: one recipe makes one size."""
        probe = Unreadable(len(self.index), self._world_size, self.loading.max_unreadable_share)
        batch = probe.note(Collate(0, 1)([Triplets(self.index, replace(self.loading, size_px=None))[0]]))
        height, width = batch.composite_B3HW.shape[2:]
        wanted = self.loading.size_px or height
        if height != width or wanted > height:
            raise BadSetup(
                f"{self.index.store.root} holds scenes of {width}x{height} px, the recipe trains at data.size_px = "
                f"{wanted}, and scenes are never enlarged; make larger ones or change the recipe"
            )
        return int(height), int(wanted)


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    # A spawned process takes its interpreter down piece by piece, and C++ threads still running abort it ("terminate
    # called without an active exception"). It leaves as a forked one would: last of its finalizers, at once.
    Finalize(None, os._exit, args=(0,), exitpriority=-100)
