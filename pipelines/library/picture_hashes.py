"""Perceptual hashes of a picture in every way that it can be turned or mirrored, kept so that none is hashed twice.

A perceptual hash finds a picture again after recompression and resizing, but not after mirroring. Records hold the
hash of the picture as it is; what they are compared with is therefore hashed in all ways.
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
"""`imagehash.phash` reduces pictures to this; turned after that, they have the hashes of turned ones, within 2 bits."""


@dataclass(frozen=True)
class PictureHashes:
    """SHA-256 of the file, and the hashes (16 hex digits) of the picture as it is, mirrored and turned."""

    sha256: str
    hashes: tuple[str, ...]


def hash_picture(sha256: str, image: Image.Image) -> PictureHashes:
    """Hash a photograph in all eight ways: nobody knows which way up somebody else stored it."""
    return _hash(sha256, image, tuple(Transpose))


def hash_cutout(sha256: str, rgba: Rgba) -> PictureHashes:
    """Hash a cutout, as it is and mirrored.

    Quarter turns are left out: over gray, a hash sees little more than the outline, and turned outlines of different
    objects are alike.
    """
    return _hash(sha256, Image.fromarray(_over_gray(rgba)), (Transpose.FLIP_LEFT_RIGHT,))


def perceptual_hash(rgba: Rgba) -> str:
    """64-bit DCT hash of a cutout laid over mid-gray, as 16 hex digits: the one that its record holds."""
    return str(imagehash.phash(Image.fromarray(_over_gray(rgba))))


def _over_gray(rgba: Rgba) -> Rgb:
    """[H, W, 3]: a cutout laid over mid-gray, as its perceptual hash sees it."""
    return blend(np.full((*rgba.shape[:2], 3), 128, np.uint8), rgba)


def _hash(sha256: str, image: Image.Image, ways: Sequence[Transpose]) -> PictureHashes:
    small = image.convert("L").resize((_SIDE_PX, _SIDE_PX), Resampling.LANCZOS)
    turned = (small, *(small.transpose(way) for way in ways))
    return PictureHashes(sha256, tuple(str(imagehash.phash(picture)) for picture in turned))


@dataclass
class HashCache:
    """Hashes by a key that changes with the picture."""

    store: Store
    _known: dict[str, PictureHashes] = field(init=False)
    _changed: bool = False

    def __post_init__(self) -> None:
        self._known = {}
        if self.store.exists(CACHE):
            entries = json.loads(self.store.read(CACHE))
            self._known = {key: PictureHashes(sha256, tuple(hashes)) for key, (sha256, *hashes) in entries.items()}

    def get(self, key: str, make: Callable[[], PictureHashes]) -> PictureHashes:
        """The hashes under a key, made where they are not known. Raises what `make` raises."""
        if key not in self._known:
            self._known[key] = make()
            self._changed = True
        return self._known[key]

    def save(self) -> None:
        """Write what is known, where something came to it."""
        if self._changed:
            entries = {key: [found.sha256, *found.hashes] for key, found in sorted(self._known.items())}
            self.store.write(CACHE, json.dumps(entries).encode())
            self._changed = False
