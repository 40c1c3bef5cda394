"""The input and the expected output of methods, with a hash for every image.

`test_sets` knows where cases come from; a method's answers and their quality are not known here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from decoupage.fingerprint import canonical_json
from decoupage.images.types import Gray, Mask, Rgb, Rgba
from decoupage.maps.table import StoredMaps
from pipelines.scenes.parts import VISIBLE_ALPHA


@dataclass(frozen=True)
class Case:
    """One image of a list: a composite and the imperfect mask of its target, with what is known of the truth.

    Attributes:
        name: of the image, once in its list; usable as a file's name.
        key: of the scene; cases of one scene share a picture.
        photograph: what the background was taken from; cases of one photograph are not independent evidence.
        origin: what the target was taken from (a photograph, or a prompt with its seed); the same holds of these. Where
            a list does not know them, the image's own name: each image is then its own cluster.
        composite: [H, W, 3].
        mask: [H, W], what every method is given.
        visible: [H, W], truth: where the target shows.
        background: [H, W, 3], truth: the scene without the target; None = unknown.
        foreground: [H, W, 4], truth: the target complete, also where it is hidden; None = unknown.
        maps: stored maps of the composite by name; None where they were not made.
        occluded_fraction: share of the target that is hidden, 0..1; None = unknown.
        strata: name of a stratification -> the word for this case, for those that the list knows.
        covered: [H, W], truth: where the target laid over its background is not the composite, because something
            lies in between that neither holds: an object in front of the target, or a shadow; None = unknown.
    """

    name: str
    key: str
    photograph: str
    origin: str
    composite: Rgb
    mask: Mask
    visible: Mask
    background: Rgb | None
    foreground: Rgba | None
    maps: StoredMaps | None
    occluded_fraction: float | None
    strata: Mapping[str, str]
    covered: Mask | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.composite.shape[0], self.composite.shape[1]

    @property
    def alpha(self) -> Gray | None:
        """[H, W], truth: the whole alpha of the target; None = unknown."""
        return None if self.foreground is None else self.foreground[..., 3]

    @cached_property
    def hidden(self) -> Mask | None:
        """[H, W], truth: where the target is, and does not show; None = unknown."""
        return None if self.alpha is None else (self.alpha >= VISIBLE_ALPHA) & ~self.visible

    @cached_property
    def sha256(self) -> str:
        """Hash of sizes and pixels of composite, mask and truth; without what follows from them: maps, `covered`."""
        sha = hashlib.sha256()
        for picture in (self.composite, self.mask, self.background, self.foreground, self.visible):
            if picture is None:
                sha.update(b"unknown")
                continue
            sha.update(str(picture.shape).encode())
            sha.update(np.ascontiguousarray(picture).tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class Entry:
    """One line of a list."""

    name: str
    sha256: str


def list_sha256(entries: Sequence[Entry]) -> str:
    """Hash of a list: of every image's name and content, in order. Scores carry it, and compare only under it."""
    return hashlib.sha256(canonical_json([[entry.name, entry.sha256] for entry in entries])).hexdigest()


def list_file(entries: Sequence[Entry], about: Mapping[str, Any]) -> dict[str, Any]:
    """Content of `list.json`: the list's hash, what its test set says of itself, and every image."""
    return {
        "list_sha256": list_sha256(entries),
        **about,
        "images": [{"name": entry.name, "sha256": entry.sha256} for entry in entries],
    }
