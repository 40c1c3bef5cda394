"""Reads assets of the library: cutouts from the sources' tars, photographs from their folder. Caches decoded ones."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from decoupage.images.codecs import decode_rgb, decode_rgba
from decoupage.images.types import Rgb, Rgba
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.stages.store import Store


@dataclass(frozen=True)
class Assets:
    """Reads and caches the assets of one worker.

    Attributes:
        store: the store that holds the sources' tars.
        photographs: the store that holds the background files.
    """

    store: Store
    photographs: Store
    _caches: dict[str, Any] = field(default_factory=dict, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        # Caches are not sent to other processes.
        return {"store": self.store, "photographs": self.photographs, "_caches": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def cutout(self, record: ForegroundRecord) -> Rgba:
        """The stored cutout, [h, w, 4], straight alpha. The array is shared: do not write to it."""
        read = self._caches.setdefault("cutout", lru_cache(128)(self._read_cutout))
        return read(record.tar, record.offset, record.num_bytes)

    def photograph(self, record: BackgroundRecord) -> Rgb:
        """The upright photograph, [H, W, 3]. The array is shared: do not write to it."""
        read = self._caches.setdefault("photograph", lru_cache(16)(self._read_photograph))
        return read(record.path, record.rotation_deg_ccw)

    def _read_cutout(self, tar: str, offset: int, num_bytes: int) -> Rgba:
        return decode_rgba(self.store.read_range(tar, offset, num_bytes))

    def _read_photograph(self, path: str, rotation_deg_ccw: int) -> Rgb:
        return np.rot90(decode_rgb(self.photographs.read(path)), rotation_deg_ccw // 90)
