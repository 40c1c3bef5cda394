"""Perceptual hashes of a picture in every way that it can be turned or mirrored, kept so that none is hashed twice.

A perceptual hash finds a picture again after recompression and resizing, but not after mirroring. Records hold the
hash of the picture as it is; what they are compared with is therefore hashed in all eight ways.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import imagehash
from PIL import Image
from PIL.Image import Resampling, Transpose

from pipelines.store import Store

CACHE = "library/picture_hashes.json"
_SIDE_PX = 32
"""`imagehash.phash` reduces pictures to this; turned after that, they have the hashes of turned ones, within 2 bits."""


@dataclass(frozen=True)
class PictureHashes:
    """SHA-256 of the file, and the hashes (16 hex digits) of the picture turned and mirrored in eight ways."""

    sha256: str
    hashes: tuple[str, ...]


def hash_picture(data: bytes, image: Image.Image) -> PictureHashes:
    """Hash a decoded picture and the bytes that it came from."""
    small = image.convert("L").resize((_SIDE_PX, _SIDE_PX), Resampling.LANCZOS)
    turned = [small, *(small.transpose(way) for way in Transpose)]
    return PictureHashes(hashlib.sha256(data).hexdigest(), tuple(str(imagehash.phash(picture)) for picture in turned))


@dataclass
class HashCache:
    """Hashes by a key that changes with the picture; `save` keeps those that were asked for since it was opened."""

    store: Store
    _known: dict[str, PictureHashes] = field(init=False)
    _used: dict[str, PictureHashes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = {}
        if self.store.exists(CACHE):
            entries = json.loads(self.store.read(CACHE))
            self._known = {key: PictureHashes(sha256, tuple(hashes)) for key, (sha256, *hashes) in entries.items()}

    def get(self, key: str, make: Callable[[], PictureHashes]) -> PictureHashes:
        """The hashes under a key, made where they are not known. Raises what `make` raises."""
        found = self._known.get(key) or make()
        self._used[key] = found
        return found

    def save(self) -> None:
        """Write what was used, where that differs from what was there."""
        if self._used != self._known:
            entries = {key: [found.sha256, *found.hashes] for key, found in sorted(self._used.items())}
            self.store.write(CACHE, json.dumps(entries).encode())
            self._known = dict(self._used)
