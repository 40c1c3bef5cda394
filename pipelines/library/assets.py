"""Reads assets of the library: cutouts from the sources' tars, photographs from their folder. Caches decoded ones.

What is read is compared with the hash of its record: damaged or replaced bytes stop the run, or they would become other
scenes, or missing ones, without any notice.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_rgb, decode_rgba
from decoupage.images.reading import read_file
from decoupage.images.types import Rgb, Rgba
from pipelines.library.layout import Layout
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.stages.store import Store

_HAVE_AGAIN = {
    "packaged": "remove sources/photographs.complete in the data root, and the next run writes it again",
    "openimages": "remove it, and the next run fetches it again",
}
"""Source -> how to get a photograph again that cannot be restored."""
_INDEX_AGAIN = (
    "remove the folder backgrounds in the data root, and the next run indexes the photographs as they are now"
)


def read_source_file(folder: Store, path: str) -> bytes:
    """A file of a source's folder.

    Raises:
        FileNotFoundError: it is not there.
        BadItem: `not_a_file`, `too_large`, `unreadable`.
    """
    return read_file(Path(folder.url(path))) if folder.is_local else folder.read(path)


def photograph_bytes(photographs: Store, record: BackgroundRecord) -> bytes:
    """The file of an indexed photograph.

    Raises:
        BadSetup: it is missing, cannot be read, or is not the file that was indexed.
    """
    try:
        data = read_source_file(photographs, record.path)
        if hashlib.sha256(data).hexdigest() == record.sha256:
            return data
        found = "is not the file that was indexed"
    except FileNotFoundError:
        found = "is missing"
    except BadItem as fault:
        found = f"cannot be read ({fault.detail})"
    mend = _HAVE_AGAIN.get(record.source, _INDEX_AGAIN)
    raise BadSetup(f"{photographs.url(record.path)} {found}; restore it, or {mend}")


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
        """The stored cutout, [h, w, 4], straight alpha. The array is shared: do not write to it.

        Raises:
            BadSetup: the tar no longer holds the bytes that were recorded.
        """
        return self._caches.setdefault("cutout", lru_cache(128)(self._read_cutout))(record)

    def photograph(self, record: BackgroundRecord) -> Rgb:
        """The upright photograph, [H, W, 3]. The array is shared: do not write to it.

        Raises:
            BadSetup: as `photograph_bytes`.
        """
        return self._caches.setdefault("photograph", lru_cache(16)(self._read_photograph))(record)

    def layout(self, record: BackgroundRecord) -> Layout:
        """The layout of a photograph that has one. Raises as `cutout`."""
        return self._caches.setdefault("layout", lru_cache(256)(self._read_layout))(record)

    def _read_cutout(self, record: ForegroundRecord) -> Rgba:
        return decode_rgba(self._member(record.tar, record.offset, record.num_bytes, record.sha256))

    def _read_photograph(self, record: BackgroundRecord) -> Rgb:
        return np.rot90(decode_rgb(photograph_bytes(self.photographs, record)), record.rotation_deg_ccw // 90)

    def _read_layout(self, record: BackgroundRecord) -> Layout:
        place = record.layout_tar, record.layout_offset, record.layout_num_bytes
        return Layout.decode(self._member(*place, record.layout_sha256))

    def _member(self, tar: str, offset: int, num_bytes: int, sha256: str) -> bytes:
        try:
            data = self.store.read_range(tar, offset, num_bytes)
        except FileNotFoundError:
            data = b""
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        raise BadSetup(
            f"{self.store.url(tar)} is missing or damaged: at byte {offset} it does not hold what its manifest "
            f"records; restore it, or remove {self.store.url(tar.removesuffix('.tar'))}.json and make the shard again"
        )
