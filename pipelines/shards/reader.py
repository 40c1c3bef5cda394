"""Reads finished shards as explicit triplets: what a sample asks for and what it should get, as arrays.

Reads from front to back and needs only the tars. A training loader, which shuffles and batches, lives with the
training; damage is looked for by `verify.py`.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from decoupage.faults import BadSetup
from decoupage.images.types import Mask, Rgb, Rgba
from decoupage.maps.table import StoredMaps, decode_maps
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import stream_members
from pipelines.shards.folder import ShardFolder, find_shards
from pipelines.stages.store import Store


@dataclass(frozen=True)
class Triplet:
    """(composite, mask of the target) -> (the target's foreground, the background without it).

    Attributes:
        key, layer: of the scene, and which of its layers is the target; 0 = lowest.
        composite: [H, W, 3].
        mask: [H, W], the imperfect mask of the target.
        foreground: [H, W, 4], the target complete, also where it was hidden; zero outside its box.
        background: [H, W, 3], the scene without the target and its shadow; the other layers stay with theirs.
        maps: stored maps of the composite by name, each at its own resolution (`decoupage.maps.table`).
        record: the scene's json.
        parts: the scene, for what is derived from it (visible mask, amodal alpha, ...).
    """

    key: str
    layer: int
    composite: Rgb
    mask: Mask
    foreground: Rgba
    background: Rgb
    maps: StoredMaps
    record: dict[str, Any]
    parts: SceneParts


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
        maps = decode_maps(members)
        for i in range(len(parts.layers)):
            yield triplet_of(parts, maps, i)


def triplet_of(parts: SceneParts, maps: StoredMaps, layer: int) -> Triplet:
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
