"""Reads assets of the library: cutouts from the sources' tars, photographs from their folder. Caches decoded ones."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from decoupage.images.codecs import decode_rgb, decode_rgba
from decoupage.images.types import Rgb, Rgba
from pipelines.library.layout import Layout
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

    def layout(self, record: BackgroundRecord) -> Layout:
        """The layout of a photograph that has one."""
        read = self._caches.setdefault("layout", lru_cache(256)(self._read_layout))
        return read(record.layout_tar, record.layout_offset, record.layout_num_bytes)

    def _read_layout(self, tar: str, offset: int, num_bytes: int) -> Layout:
        return Layout.decode(self.store.read_range(tar, offset, num_bytes))

    def _read_cutout(self, tar: str, offset: int, num_bytes: int) -> Rgba:
        return decode_rgba(self.store.read_range(tar, offset, num_bytes))

    def _read_photograph(self, path: str, rotation_deg_ccw: int) -> Rgb:
        return np.rot90(decode_rgb(self.photographs.read(path)), rotation_deg_ccw // 90)
