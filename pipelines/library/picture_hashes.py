"""Perceptual hashes of a picture in all its rotated and mirrored forms, with a cache.

A perceptual hash recognises a picture after recompression and resizing, but not after mirroring or rotation. Records
hold the hash of the unchanged picture; the pictures that they are compared with are therefore hashed in all forms.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import imagehash
import numpy as np
from PIL import Image
from PIL.Image import Resampling, Transpose

from decoupage.images.alpha import blend
from decoupage.images.types import Rgb, Rgba
from pipelines.stages.store import Store

CACHE = "library/picture_hashes.json"
_SIDE_PX = 32
"""`imagehash.phash` reduces pictures to this size; rotating the reduced picture changes a hash by at most 2 bits."""


@dataclass(frozen=True)
class PictureHashes:
    """SHA-256 of the file, and the hashes (16 hex digits) of the picture unchanged, mirrored and rotated."""

    sha256: str
    hashes: tuple[str, ...]


def hash_picture(sha256: str, image: Image.Image) -> PictureHashes:
    """Hash a photograph in all eight orientations, because the orientation of other copies is unknown."""
    return _hash(sha256, image, tuple(Transpose))


def hash_cutout(sha256: str, rgba: Rgba) -> PictureHashes:
    """Hash a cutout, unchanged and mirrored.

    Rotations by 90 degrees are left out: over gray, a hash depends on little more than the outline, and rotated
    outlines of different objects are similar.
    """
    return _hash(sha256, Image.fromarray(_over_gray(rgba)), (Transpose.FLIP_LEFT_RIGHT,))


def perceptual_hash(rgba: Rgba) -> str:
    """The 64-bit DCT hash of a cutout over mid-gray, as 16 hex digits, which its record holds."""
    return str(imagehash.phash(Image.fromarray(_over_gray(rgba))))


def _over_gray(rgba: Rgba) -> Rgb:
    """A cutout over mid-gray, [H, W, 3], as it is hashed."""
    return blend(np.full((*rgba.shape[:2], 3), 128, np.uint8), rgba)


def _hash(sha256: str, image: Image.Image, ways: Sequence[Transpose]) -> PictureHashes:
    small = image.convert("L").resize((_SIDE_PX, _SIDE_PX), Resampling.LANCZOS)
    turned = (small, *(small.transpose(way) for way in ways))
    return PictureHashes(sha256, tuple(str(imagehash.phash(picture)) for picture in turned))


@dataclass
class HashCache:
    """A stored cache of hashes; a key changes when its picture does."""

    store: Store
    _known: dict[str, PictureHashes] = field(init=False)
    _changed: bool = False

    def __post_init__(self) -> None:
        self._known = {}
        if self.store.exists(CACHE):
            entries = json.loads(self.store.read(CACHE))
            self._known = {key: PictureHashes(sha256, tuple(hashes)) for key, (sha256, *hashes) in entries.items()}

    def get(self, key: str, make: Callable[[], PictureHashes]) -> PictureHashes:
        """The hashes under a key, computed by `make` where they are not cached. Raises what `make` raises."""
        if key not in self._known:
            self._known[key] = make()
            self._changed = True
        return self._known[key]

    def save(self) -> None:
        """Write the cache if it has changed."""
        if self._changed:
            entries = {key: [found.sha256, *found.hashes] for key, found in sorted(self._known.items())}
            self.store.write(CACHE, json.dumps(entries).encode())
            self._changed = False
