"""Reads finished shards as explicit triplets: what a sample asks for and what it should get, as arrays.

Reads from front to back and needs only the tars. A training loader, which shuffles and batches, lives with the
training; damage is looked for by `verify.py`.
"""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_gray, decode_mask
from decoupage.images.types import Array, Gray, Mask, Rgb, Rgba
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import stream_members
from pipelines.scenes.resize import checked_side
from pipelines.shards.folder import ShardFolder, find_shards
from pipelines.stages.store import Store


@dataclass(frozen=True)
class Maps:
    """The maps of a composite, on its canvas.

    Attributes:
        edges: [H, W], True on edges.
        segmentation: [H, W] uint8 labels.
        depth: [H, W] float32, 0..1, 1 = near.
    """

    edges: Mask
    segmentation: Gray
    depth: NDArray[np.float32]

    @classmethod
    def decode(cls, members: Mapping[str, bytes], size: tuple[int, int]) -> "Maps":
        """Read maps from a scene's members and bring them to (height, width) `size`.

        Labels are repeated, depth is interpolated linearly.

        Raises:
            BadItem: a picture is damaged. KeyError: a map is absent.
        """
        depth = decode_gray(members["depth.png"])
        return cls(
            decode_mask(members["edges.png"]),
            _enlarge(decode_gray(members["segmentation.png"]), size, cv2.INTER_NEAREST),
            _enlarge(depth.astype(np.float32) / np.float32(np.iinfo(depth.dtype).max), size, cv2.INTER_LINEAR),
        )

    def resized(self, size_px: int) -> "Maps":
        """The maps on a smaller square canvas: edges wherever one was, the nearest label, depth averaged over areas.

        Raises:
            ValueError: as `pipelines.scenes.resize.resized`.
        """
        side_px = checked_side((self.edges.shape[0], self.edges.shape[1]), size_px)
        if size_px == side_px:
            return self
        size = (size_px, size_px)
        nearest = (2 * np.arange(size_px) + 1) * side_px // (2 * size_px)
        return Maps(
            # In floats, so that one pixel of very many is not rounded away.
            np.asarray(cv2.resize(self.edges.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0),
            self.segmentation[np.ix_(nearest, nearest)],
            cv2.resize(self.depth, size, interpolation=cv2.INTER_AREA).astype(np.float32),
        )


def _enlarge(image: Array, size: tuple[int, int], interpolation: int) -> Array:
    if image.shape == size:
        return image
    return cv2.resize(image, (size[1], size[0]), interpolation=interpolation)


@dataclass(frozen=True)
class Triplet:
    """(composite, mask of the target) -> (the target's foreground, the background without it).

    Attributes:
        key, layer: of the scene, and which of its layers is the target; 0 = lowest.
        composite: [H, W, 3].
        mask: [H, W], the imperfect mask of the target.
        foreground: [H, W, 4], the target complete, also where it was hidden; zero outside its box.
        background: [H, W, 3], the scene without the target; the other layers stay.
        maps: of the composite.
        record: the scene's json.
        parts: the scene, for what is derived from it (visible mask, amodal alpha, ...).
    """

    key: str
    layer: int
    composite: Rgb
    mask: Mask
    foreground: Rgba
    background: Rgb
    maps: Maps
    record: dict[str, Any]
    parts: SceneParts

    @property
    def edges(self) -> Mask:
        """[H, W], True on edges of the composite."""
        return self.maps.edges

    @property
    def segmentation(self) -> Gray:
        """[H, W] uint8 labels of the composite."""
        return self.maps.segmentation

    @property
    def depth(self) -> NDArray[np.float32]:
        """[H, W] float32 of the composite, 0..1, 1 = near."""
        return self.maps.depth


def read_triplets(source: Store | str, shards: Sequence[str] | None = None) -> Iterator[Triplet]:
    """All triplets of shards, scene by scene and layer by layer from the bottom.

    Args:
        source: a dataset's store, or the path of its root, of a folder of shards, or of one `.tar`.
        shards: which shards, by number; None = all.

    Raises:
        BadSetup: there are no shards, or a tar is damaged or lacks a member.
        BadItem: a member cannot be decoded.
    """
    for key, members in read_scenes(source, shards):
        parts = SceneParts.decode(key, members)
        maps = Maps.decode(members, parts.size)
        for i in range(len(parts.layers)):
            yield triplet_of(parts, maps, i)


def triplet_of(parts: SceneParts, maps: Maps, layer: int) -> Triplet:
    """The triplet that asks a scene for one of its layers."""
    return Triplet(
        key=parts.key,
        layer=layer,
        composite=parts.composite,
        mask=parts.imperfect_masks[layer],
        foreground=parts.foreground(layer),
        background=parts.flatten(without=layer),
        maps=maps,
        record=parts.record,
        parts=parts,
    )


def read_scenes(source: Store | str, shards: Sequence[str] | None = None) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, members by suffix) of each scene; arguments and faults as `read_triplets`."""
    folder = find_shards(source.root if isinstance(source, Store) else source)
    absent = sorted(set(shards or ()) - set(folder.shards))
    if absent:
        raise BadSetup(f"{folder.store.root} has no shards {', '.join(absent)}")
    for shard in folder.shards if shards is None else shards:
        yield from _stream(folder, f"{shard}.tar")


def _stream(folder: ShardFolder, name: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    try:
        with folder.open(name) as file:
            yield from stream_members(file)
    except (tarfile.TarError, FileNotFoundError) as error:
        raise BadSetup(f"{folder.store.root}/{name} cannot be read ({error}); see `decoupage shards verify`") from error
