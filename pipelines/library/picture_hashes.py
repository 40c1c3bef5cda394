"""Perceptual hashes of a picture in all its rotated and mirrored forms, with a cache.

A perceptual hash recognises a picture after recompression and resizing, but not after mirroring or rotation. Records
hold the hash of the unchanged picture; the pictures that they are compared with are therefore hashed in all forms.
"""

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import imagehash
import numpy as np
from PIL import Image
from PIL.Image import Resampling, Transpose

from decoupage.faults import BadSetup
from decoupage.images.alpha import blend
from decoupage.images.types import Rgb, Rgba
from decoupage.text_files import printable
from pipelines.stages.store import Store

log = logging.getLogger(__name__)
CACHE = "library/picture_hashes.json"
VERSION = "2"
"""Raised when the code hashes some pictures otherwise."""
_SIDE_PX = 32
"""`imagehash.phash` reduces pictures to this size; rotating the reduced picture changes a hash by at most 2 bits."""
_HASH, _SHA256 = re.compile(r"[0-9a-f]{16}"), re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PictureHashes:
    """SHA-256 of the file, and the hashes (16 hex digits) of the picture unchanged, mirrored and rotated."""

    sha256: str
    hashes: tuple[str, ...]


def hash_picture(sha256: str, image: Image.Image) -> PictureHashes:
    """Hash a photograph in all eight orientations, because the orientation of other copies is unknown.

    Args:
        image: 8 bits a channel, as `decoupage.images.reading.read_picture` gives it: others are hashed as white.
    """
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


def photograph_hash(rgb: Rgb) -> str:
    """The same of a photograph [H, W, 3]."""
    return str(imagehash.phash(Image.fromarray(rgb)))


def _over_gray(rgba: Rgba) -> Rgb:
    """A cutout over mid-gray, [H, W, 3], as it is hashed."""
    return blend(np.full((*rgba.shape[:2], 3), 128, np.uint8), rgba)


def _hash(sha256: str, image: Image.Image, ways: Sequence[Transpose]) -> PictureHashes:
    small = image.convert("L").resize((_SIDE_PX, _SIDE_PX), Resampling.LANCZOS)
    turned = (small, *(small.transpose(way) for way in ways))
    return PictureHashes(sha256, tuple(str(imagehash.phash(picture)) for picture in turned))


def parsed_hashes(entries: Any) -> dict[str, PictureHashes]:
    """Hashes by name, from the JSON object `{name: [sha256, hash, ...]}`. Raises ValueError for any other value."""
    if not isinstance(entries, dict):
        raise ValueError("hashes of pictures are an object")
    for name, entry in entries.items():
        whole = isinstance(entry, list) and len(entry) > 1 and all(isinstance(digits, str) for digits in entry)
        if not whole or not _SHA256.fullmatch(entry[0]) or not all(map(_HASH.fullmatch, entry[1:])):
            raise ValueError(f"the hashes of {printable(name)} are not hex digits")
    return {name: PictureHashes(sha256, tuple(hashes)) for name, (sha256, *hashes) in entries.items()}


@dataclass
class HashCache:
    """A stored cache of hashes; a key changes when its picture does."""

    store: Store
    _known: dict[str, PictureHashes] = field(init=False)
    _changed: bool = False

    def __post_init__(self) -> None:
        self._known = {}
        if self.store.exists(CACHE):
            try:
                stored = self.store.read_json(CACHE)
                # A cache of another version has no key `version`, or another one.
                if isinstance(stored, dict) and stored.get("version", "") == VERSION:
                    self._known = parsed_hashes(stored.get("hashes"))
            except (BadSetup, ValueError) as error:
                log.warning("%s is made again: %s", self.store.url(CACHE), error)

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
            self.store.write(CACHE, json.dumps({"version": VERSION, "hashes": entries}).encode())
            self._changed = False
