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
from multiprocessing.util import Finalize

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from decoupage.faults import BadItem, BadSetup
from decoupage.maps.table import StoredMaps, decode_maps
from pipelines.pairs.parts import COMPOSITE, FOREGROUND, PairParts
from pipelines.scenes.parts import SceneParts
from pipelines.stages.store import Store
from training.data.ahead import ReadAhead
from training.data.cache import SceneCache, Unreachable
from training.data.config import DataLoading
from training.data.drawn import Collate, Drawn, DrawnBatch, Unreadable
from training.data.index import SceneIndex, open_index
from training.data.order import candidates, drawn_from, rank_batches
from training.data.selection import select
from training.data.triplets import TripletBatch, make_sample
from training.pairs import find_pairs

_log = logging.getLogger(__name__)
_BATCHES_AHEAD = 1024
"""How far a worker looks for the scenes that it asks for early."""

_UNREADABLE = (BadItem, BadSetup, OSError, KeyError, ValueError)
"""Exceptions that reading and decoding a damaged or lost scene raises; nothing else is done under them."""


@dataclass(frozen=True)
class Triplets(Dataset[Drawn]):
    """Samples by global position; every worker has a copy, which remembers nothing but what it has asked for early.

    Attributes:
        step: samples of all processes' batches: how far a worker's next batch is from this one, if it is the only one.
        pairs: before/after pairs, where the samples at some positions are drawn from them.
    """

    index: SceneIndex
    loading: DataLoading
    step: int = 1
    pairs: SceneIndex | None = None

    @cached_property
    def _readers(self) -> dict[bool, ReadAhead]:
        """Of scenes (False) and of pairs (True), where they are in an object store."""
        indexes = {False: self.index, True: self.pairs}
        return {kind: ReadAhead(index) for kind, index in indexes.items() if index and not index.store.is_local}

    def _drawn_from(self, position: int) -> tuple[bool, SceneIndex, int]:
        """Whether the sample at a position is a pair, what it is drawn from, and its position there."""
        is_pair, own = drawn_from(position, self.loading.pairs_share)
        index = self.pairs if is_pair else self.index
        assert index is not None, "a loader that draws pairs has some"
        return is_pair, index, own

    def __getitems__(self, positions: list[int]) -> list[Drawn]:
        """The samples of a batch. Scenes of an object store are fetched side by side, with those of batches to come."""
        for is_pair, reader in self._readers.items():
            num_now = sum(self._drawn_from(position)[0] == is_pair for position in positions)
            reader.expect(self._scenes_from(positions, is_pair), num_now)
        return [self[position] for position in positions]

    def _scenes_from(self, positions: list[int], is_pair: bool) -> Iterator[int]:
        """Scenes (or pairs) of this worker's batches in order, from one on: workers take turns.

        It ends, because a worker's batches may hold none of a kind.
        """
        worker = get_worker_info()
        stride = self.step * (worker.num_workers if worker else 1)
        for shift in range(0, _BATCHES_AHEAD * stride, stride):
            for position in positions:
                kind, index, own = self._drawn_from(position + shift)
                if kind == is_pair:
                    yield index.triplet(next(candidates(self.loading.seed, own, index.num_triplets)))[0]

    def __getitem__(self, position: int) -> Drawn:
        """The sample at a position, or the next readable one of its epoch."""
        is_pair, index, own = self._drawn_from(position)
        reader, num_triplets = self._readers.get(is_pair, index), index.num_triplets
        unreadable: dict[int, tuple[str, str]] = {}
        for number in candidates(self.loading.seed, own, num_triplets):
            i, layer = index.triplet(number)
            if i in unreadable:
                continue
            try:
                parts, maps = decode_scene(index, i, reader.read(i), self.loading)
            except Unreachable as error:
                return Drawn(None, tuple(unreadable.values()), str(error))
            except _UNREADABLE as error:
                unreadable[i] = (str(index.keys[i]), str(error) or repr(error))
                if len(unreadable) > self.loading.max_unreadable_share * len(index):
                    break  # The run stops anyway; see Unreadable.
                continue
            sample = make_sample(parts, layer, maps, position, own // num_triplets, self.loading)
            return Drawn(sample, tuple(unreadable.values()))
        return Drawn(None, tuple(unreadable.values()))


def decode_scene(
    index: SceneIndex, i: int, members: Mapping[str, bytes], loading: DataLoading
) -> tuple[SceneParts, StoredMaps]:
    """Scene or pair i of its members; its maps when any are wanted.

    Raises:
        BadItem, KeyError, ValueError: it cannot be decoded.
    """
    kind = PairParts if COMPOSITE in members else SceneParts
    return kind.decode(str(index.keys[i]), members), decode_maps(members, loading.maps)


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
        pairs = None
        if loading.pairs_share:
            pairs = open_index(find_pairs(source.root if isinstance(source, Store) else source, loading.pairs_share))
        if not index.store.is_local:
            cache = SceneCache(int(loading.cache_gb * 1e9))
            index, pairs = replace(index, cache=cache), replace(pairs, cache=cache) if pairs else None
        self.index, self.pairs = index, pairs
        self.loading = loading
        for found in filter(None, (index, pairs)) if loading.maps else ():
            found.require([f"{name}.png" for name in loading.maps], "join the maps, or train with data.maps = ()")
        if not loading.redraw_masks:
            self.index.require(["mask0.png"], "join the masks, or train with data.redraw_masks = true")
        self._rank, self._world_size, self._pin_memory = rank, world_size, pin_memory
        self._unreadable = Unreadable(len(index) + len(pairs or ()), world_size, loading.max_unreadable_share)
        self.scene_px, self.size_px = self._check_sizes()

    @property
    def num_triplets(self) -> int:
        """Samples of an epoch: the layers of the scenes that are drawn from."""
        return self.index.num_triplets

    @property
    def unreadable(self) -> dict[str, str]:
        """Reason by key of each scene that this process has skipped so far."""
        return dict(self._unreadable.reasons)

    @property
    def identity(self) -> dict[str, str]:
        """What a run is known by: its data, their order, and the pairs where it draws some."""
        return self.index.identity | ({"pairs": self.pairs.identity["data"]} if self.pairs else {})

    @property
    def foreground_share(self) -> float:
        """Share of the samples whose foreground is known: 1 where no pairs are drawn."""
        if self.pairs is None:
            return 1.0
        return 1.0 - self.loading.pairs_share * (1.0 - self.pairs.share_with(FOREGROUND))

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
            Triplets(self.index, self.loading, step, self.pairs),
            batch_sampler=rank_batches(start, self._rank, self._world_size, self.loading.batch_size),
            num_workers=num_workers,
            collate_fn=Collate(self._rank, step),
            worker_init_fn=_start_worker,
            multiprocessing_context="spawn" if num_workers else None,
            prefetch_factor=self.loading.prefetch_batches if num_workers else None,
        )

    def _check_sizes(self) -> tuple[int, int]:
        """Sides of scenes and samples, in pixels, by the first scene that can be read: one recipe makes one size."""
        scene_px = 0
        for index in filter(None, (self.pairs, self.index)):
            probe = Unreadable(len(index), self._world_size, self.loading.max_unreadable_share)
            loading = replace(self.loading, size_px=None, pairs_share=0.0)
            batch = probe.note(Collate(0, 1)([Triplets(index, loading)[0]]))
            height, scene_px = batch.composite_B3HW.shape[2:]
            wanted = self.loading.size_px or scene_px
            if height != scene_px or wanted > height:
                raise BadSetup(
                    f"{index.store.root} holds scenes of {scene_px}x{height} px, the recipe trains at data.size_px = "
                    f"{wanted}, and scenes are never enlarged; make larger ones or change the recipe"
                )
        return scene_px, self.loading.size_px or scene_px


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    # A spawned process takes its interpreter down piece by piece, and C++ threads still running abort it ("terminate
    # called without an active exception"). It leaves as a forked one would: last of its finalizers, at once.
    Finalize(None, os._exit, args=(0,), exitpriority=-100)
