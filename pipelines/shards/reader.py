"""Reads finished shards as explicit triplets: what a sample asks for and what it should get, as arrays.

Reads from front to back and needs only the tars. A training loader, which shuffles and batches, lives with the
training; damage is looked for by `verify.py`.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from decoupage.faults import BadItem, BadSetup
from decoupage.images.types import Mask, Rgb, Rgba
from decoupage.maps.table import MAPS, StoredMaps, decode_maps
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import Refused, stream_members
from pipelines.shards.faults import Fault
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


def read_triplets(
    source: Store | str, shards: Sequence[str] | None = None, faults: list[Fault] | None = None
) -> Iterator[Triplet]:
    """All triplets of shards, scene by scene and layer by layer from the bottom.

    Args:
        source: a dataset's store, or the path of its root, of a folder of shards, or of one `.tar`.
        shards: which shards, by number; None = all.
        faults: takes what cannot be read, and the rest goes on; None = the first fault is raised.

    Raises:
        BadSetup: there are no shards; a tar is damaged, and `faults` is None.
        BadItem: a member is absent or cannot be decoded, and `faults` is None; the detail names shard and member.
    """
    for stored in _stored(source, shards, faults):
        try:
            parts = SceneParts.decode(stored.key, stored.members, with_masks=False)
        except BadItem as fault:
            stored.note(fault, faults)
            continue
        maps = _maps_of(stored, faults)
        masks: dict[int, Mask] = {}
        for i in range(len(parts.layers)):
            try:
                masks[i] = parts.decode_mask_of(i, stored.members)
            except BadItem as fault:
                stored.note(fault, faults)
        if len(masks) == len(parts.layers):
            parts = replace(parts, imperfect_masks=tuple(masks.values()))
        for i, mask in masks.items():
            yield triplet_of(parts, maps, i, mask)


def _maps_of(stored: "StoredScene", faults: list[Fault] | None) -> StoredMaps:
    """The maps of a scene that can be read."""
    found: dict[str, Any] = {}
    for name in MAPS:
        try:
            found |= decode_maps(stored.members, (name,))
        except KeyError:
            stored.note(BadItem("missing_member", f"{stored.key}.{name}.png is not there"), faults)
        except BadItem as fault:
            stored.note(BadItem(fault.reason, f"{stored.key}.{name}.png: {fault.detail}"), faults)
    return found


def triplet_of(parts: SceneParts, maps: StoredMaps, layer: int, mask: Mask | None = None) -> Triplet:
    """The triplet that asks a scene for one of its layers, by its own mask or the one of `parts`."""
    return Triplet(
        key=parts.key,
        layer=layer,
        composite=parts.composite,
        mask=parts.imperfect_masks[layer] if mask is None else mask,
        foreground=parts.foreground(layer),
        background=parts.flatten(without=layer),
        maps=maps,
        record=parts.record,
        parts=parts,
    )


@dataclass(frozen=True)
class StoredScene:
    """One scene as it is stored: its members by suffix, and where they lie."""

    folder: str
    shard: str
    key: str
    members: dict[str, bytes]

    def note(self, fault: BadItem, faults: list[Fault] | None) -> None:
        """Add a fault to the list; without one, raise it with its place."""
        if faults is None:
            raise BadItem(fault.reason, f"{self.folder}/{self.shard}.tar: {fault.detail}") from fault
        faults.append(Fault(self.folder, self.shard, self.key, fault.reason, fault.detail))


def read_scenes(source: Store | str, shards: Sequence[str] | None = None) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, members by suffix) of each scene; arguments and faults as `read_triplets`."""
    for stored in _stored(source, shards, None):
        yield stored.key, stored.members


def _stored(source: Store | str, shards: Sequence[str] | None, faults: list[Fault] | None) -> Iterator[StoredScene]:
    folder = find_shards(source.root if isinstance(source, Store) else source)
    absent = sorted(set(shards or ()) - set(folder.shards))
    if absent:
        raise BadSetup(f"{folder.store.root} has no shards {', '.join(absent)}")
    place = folder.store.root.rstrip("/")
    for shard in folder.shards if shards is None else shards:
        try:
            yield from (StoredScene(place, shard, key, found) for key, found in _stream(folder, shard, faults))
        except (tarfile.TarError, BadSetup, OSError) as error:
            if faults is None:
                raise BadSetup(
                    f"{place}/{shard}.tar cannot be read ({error}); see `decoupage shards verify`"
                ) from error
            faults.append(Fault(place, shard, f"{shard}.tar", "unreadable", str(error)))


def _stream(folder: ShardFolder, shard: str, faults: list[Fault] | None) -> Iterator[tuple[str, dict[str, bytes]]]:
    refused: list[Refused] | None = None if faults is None else []
    with folder.open(f"{shard}.tar") as file:
        for first, scene in enumerate(stream_members(file, refused)):
            if not first:
                _tell(folder, shard, refused, faults)
            yield scene
    _tell(folder, shard, refused, faults)


def _tell(folder: ShardFolder, shard: str, refused: list[Refused] | None, faults: list[Fault] | None) -> None:
    """Move what a tar's reader refused to the list of faults."""
    while refused:
        assert faults is not None, "without a list the reader raises"
        faults.append(Fault(folder.store.root.rstrip("/"), shard, *refused.pop(0)))
