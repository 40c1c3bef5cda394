"""The held-out list: what methods are given, what they should give, in a fixed order, with a hash for every image.

Cases come from shards of the test split, one for each layer of each scene. What a method answers, and how good that
is, is not known here.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from pipelines.faults import BadSetup
from pipelines.fingerprint import canonical_json
from pipelines.images.types import Gray, Mask, Rgb, Rgba
from pipelines.scenes.parts import VISIBLE_ALPHA, SceneParts
from pipelines.scenes.resize import resized
from pipelines.shards.reader import Maps, read_scenes
from pipelines.store import Store

OCCLUSION_BOUNDS = (("none", 0.02), ("light", 0.20), ("medium", 0.45))
"""A layer belongs to the first stratum whose bound its occluded fraction lies below; above all it is `heavy`."""


@dataclass(frozen=True)
class Case:
    """One image of the list: a composite and the imperfect mask of one layer, with the truth.

    Attributes:
        key, layer: of the scene, and which of its layers is the target; 0 = lowest.
        composite: [H, W, 3].
        mask: [H, W], what every method is given.
        background: [H, W, 3], truth: the scene without the target.
        foreground: [H, W, 4], truth: the target complete, also where it is hidden.
        visible: [H, W], truth: where the target shows.
        maps: of the composite.
        occluded_fraction: share of the target that is hidden, 0..1.
        strata: `occlusion`, `size`, `mask_error` and `source` of the target, each a word.
    """

    key: str
    layer: int
    composite: Rgb
    mask: Mask
    background: Rgb
    foreground: Rgba
    visible: Mask
    maps: Maps
    occluded_fraction: float
    strata: dict[str, str]

    @property
    def name(self) -> str:
        """`<key>-<layer>`, as `shards export` names the folder of a triplet."""
        return f"{self.key}-{self.layer}"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.composite.shape[0], self.composite.shape[1]

    @property
    def alpha(self) -> Gray:
        """[H, W], truth: the whole alpha of the target."""
        return self.foreground[..., 3]

    @cached_property
    def hidden(self) -> Mask:
        """[H, W], truth: where the target is, and does not show."""
        return (self.alpha >= VISIBLE_ALPHA) & ~self.visible

    @cached_property
    def sha256(self) -> str:
        """Hash of sizes and pixels of composite, mask and truth. Maps are computed from the composite, so left out."""
        sha = hashlib.sha256()
        for picture in (self.composite, self.mask, self.background, self.foreground, self.visible):
            sha.update(str(picture.shape).encode())
            sha.update(np.ascontiguousarray(picture).tobytes())
        return sha.hexdigest()


def read_cases(source: Store | str, size_px: int | None = None, max_images: int | None = None) -> Iterator[Case]:
    """The cases of a folder of shards, in its order: scene by scene, layer by layer from the bottom.

    Args:
        source: a store or path, as `pipelines.shards.reader.read_triplets` takes it.
        size_px: side to bring the scenes to; None = their own.
        max_images: stop after so many; None = all.

    Raises:
        BadSetup: there are no shards, one is damaged, or the scenes cannot be brought to `size_px`.
        BadItem: a member cannot be decoded.
    """
    cases = (case for key, members in read_scenes(source) for case in _cases_of(key, members, size_px))
    return islice(cases, max_images)


def find_cases(source: Store | str, names: Collection[str], size_px: int | None = None) -> Iterator[Case]:
    """The cases of these names, in the list's order; other scenes are passed over without being decoded."""
    keys = {name.rpartition("-")[0] for name in names}
    for key, members in read_scenes(source):
        if key in keys:
            yield from (case for case in _cases_of(key, members, size_px) if case.name in names)


def _cases_of(key: str, members: dict[str, bytes], size_px: int | None) -> Iterator[Case]:
    parts = SceneParts.decode(key, members)
    maps = Maps.decode(members, parts.size)
    if size_px is not None:
        try:
            parts, maps = resized(parts, size_px), maps.resized(size_px)
        except ValueError as error:
            raise BadSetup(f"evaluation.size_px: scene {key}: {error}") from error
    for layer in range(len(parts.layers)):
        yield case_of(parts, maps, layer)


def case_of(parts: SceneParts, maps: Maps, layer: int) -> Case:
    """The case that asks a scene for one of its layers."""
    fraction = parts.occluded_fraction(layer)
    entry = parts.record["layers"][layer]
    return Case(
        key=parts.key,
        layer=layer,
        composite=parts.composite,
        mask=parts.layers[layer].imperfect_mask,
        background=parts.flatten(without=layer),
        foreground=parts.foreground(layer),
        visible=parts.visible_mask(layer),
        maps=maps,
        occluded_fraction=fraction,
        strata={
            "occlusion": next((name for name, bound in OCCLUSION_BOUNDS if fraction < bound), "heavy"),
            "size": entry["size_class"],
            "mask_error": entry["mask_error"],
            "source": entry["foreground"]["kind"],
        },
    )


@dataclass(frozen=True)
class Entry:
    """One line of the list."""

    name: str
    sha256: str


def list_sha256(entries: Sequence[Entry]) -> str:
    """Hash of a list: of every image's name and content, in order. Scores carry it, and compare only under it."""
    return hashlib.sha256(canonical_json([[entry.name, entry.sha256] for entry in entries])).hexdigest()


def list_file(entries: Sequence[Entry], size_px: int | None) -> dict[str, Any]:
    """Content of `list.json`."""
    return {
        "list_sha256": list_sha256(entries),
        "size_px": size_px,
        "images": [{"name": entry.name, "sha256": entry.sha256} for entry in entries],
    }
