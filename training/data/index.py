"""Index of all scenes in a folder of shards and of their triplets, read once from the manifests. No picture is opened.

It is kept in a few arrays, not in objects: 100,000 scenes of nine members take about 45 MB, in every worker.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from decoupage.fingerprint import Recipe, canonical_json
from decoupage.randomness import digest
from decoupage.text_files import printable
from pipelines.scenes.read import Span, spans, suffix_of
from pipelines.shards.folder import ShardFolder, find_shards
from pipelines.stages.manifest import RECIPE, Manifest
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import Member
from training.data.cache import SceneCache
from training.data.order import ORDER

_AT_ONCE = 256
"""Manifests that are in memory as they were read."""
_TARGET = re.compile(r"layer\d+\.webp|mask\.png")
"""Members of which a scene has one for each of its layers, and a pair one."""
_MEMBER = np.dtype([("suffix", np.uint16), ("offset", np.int64), ("num_bytes", np.int64), ("sha256", "V32")])


@dataclass(frozen=True)
class SceneIndex:
    """All scenes of one dataset, or some of them; or all of its before/after pairs, which count as scenes here.

    Attributes:
        store: rooted at the folder of shards.
        fingerprint: fingerprint of the recipe that made all of the shards.
        contents_sha256: hash of all shards' hashes, also of those whose scenes were left out by `only`: the same
            contents give the same order of samples.
        shards: names of the shards.
        keys: [num_scenes] key of each scene.
        shard_of, first_member: [num_scenes] number of its shard, and index of its first member in `members`; its
            members end where the next scene's begin.
        members: member table (`_MEMBER`) of all scenes.
        suffixes: names that `members["suffix"]` points at.
        makers: what the maps were made by: name -> recipe of the maker; empty where the folder does not say.
        cache: scenes that this machine keeps of an object store; None = each is read where it is.
    """

    store: Store
    fingerprint: str
    contents_sha256: str
    shards: tuple[str, ...]
    keys: NDArray[np.str_]
    shard_of: NDArray[np.int32]
    first_member: NDArray[np.int64]
    members: NDArray[np.void]
    suffixes: tuple[str, ...]
    makers: Mapping[str, Recipe]
    cache: SceneCache | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def identity(self) -> dict[str, str]:
        """What a run is known by: the data, and the order in which it goes through them."""
        return {"data": f"{self.fingerprint}-{self.contents_sha256[:16]}", "order": ORDER}

    @cached_property
    def _first_triplet(self) -> NDArray[np.int64]:
        """[num_scenes + 1]: number of each scene's first triplet, then that of all triplets; a layer has one."""
        targets = [number for number, suffix in enumerate(self.suffixes) if _TARGET.fullmatch(suffix)]
        num_targets = np.add.reduceat(np.isin(self.members["suffix"], targets), self.first_member, dtype=np.int64)
        return np.concatenate([[0], np.cumsum(num_targets)])

    @property
    def num_triplets(self) -> int:
        """Layers of all scenes; each is the target of one triplet."""
        return int(self._first_triplet[-1])

    def triplet(self, number: int) -> tuple[int, int]:
        """(scene, layer) of a triplet; numbers go through the scenes in order, and through the layers of each."""
        scene = int(np.searchsorted(self._first_triplet, number, side="right")) - 1
        return scene, number - int(self._first_triplet[scene])

    def span(self, i: int) -> Span:
        """Shard, key and members of scene i."""
        key = str(self.keys[i])
        last = self.first_member[i + 1] if i + 1 < len(self) else len(self.members)
        rows = self.members[self.first_member[i] : last]
        members = tuple(
            Member(f"{key}.{self.suffixes[row['suffix']]}", int(row["offset"]), int(row["num_bytes"]), _hex(row))
            for row in rows
        )
        return Span(f"{self.shards[self.shard_of[i]]}.tar", key, members)

    def read(self, i: int) -> dict[str, bytes]:
        """Members of scene i by suffix, in one range request, checked against their hashes; raises as `Span.read`."""
        span = self.span(i)
        return span.read(self.store) if self.cache is None else self.cache.read(span, self.store)

    def only(self, chosen: NDArray[np.bool_]) -> "SceneIndex":
        """The index with some of its scenes: those where `chosen` [num_scenes] is True."""
        num_members = np.diff(self.first_member, append=len(self.members))
        return replace(
            self,
            keys=self.keys[chosen],
            shard_of=self.shard_of[chosen],
            first_member=np.cumsum(num_members[chosen]) - num_members[chosen],
            members=self.members[np.repeat(chosen, num_members)],
        )

    def share_with(self, suffix: str) -> float:
        """Share of the scenes that have this member."""
        number = self.suffixes.index(suffix) if suffix in self.suffixes else -1
        return int((self.members["suffix"] == number).sum()) / len(self)

    def require(self, suffixes: Sequence[str], what: str) -> None:
        """Make sure that every scene has these members.

        Raises:
            BadSetup: a scene lacks one; the first such scene is named.
        """
        for suffix in suffixes:
            number = self.suffixes.index(suffix) if suffix in self.suffixes else -1
            has = np.add.reduceat(self.members["suffix"] == number, self.first_member)
            if not has.all():
                i = int(np.argmin(has))
                raise BadSetup(
                    f"{self.store.root}: scene {self.keys[i]} in shard {self.shards[self.shard_of[i]]} has no {suffix} "
                    f"({int((has == 0).sum())} of {len(self)} scenes lack it); {what}"
                )


def _hex(row: np.void) -> str:
    return bytes(row["sha256"]).hex()


def open_index(source: Store | str) -> SceneIndex:
    """Read the manifests of a dataset.

    Args:
        source: a dataset's store, or the path or fsspec URL of its root, of a folder of shards, or of one `.tar`.

    Raises:
        BadSetup: there are no shards, one is unfinished or damaged, they are of different recipes, or a key repeats.
    """
    folder = find_shards(source.root if isinstance(source, Store) else source)
    found = _many(folder, [f"{shard}.json" for shard in folder.shards])
    manifests = [_manifest(folder, shard, data) for shard, data in zip(folder.shards, found, strict=True)]
    for shard, manifest in zip(folder.shards, manifests, strict=True):
        if manifest.fingerprint != manifests[0].fingerprint:
            raise BadSetup(
                f"{folder.store.root} mixes recipes: shard {folder.shards[0]} has fingerprint "
                f"{manifests[0].fingerprint}, shard {shard} has {manifest.fingerprint}; train on one of them alone"
            )
    return _tabulate(folder, manifests)


def _many(folder: ShardFolder, paths: Sequence[str]) -> Iterator[bytes | None]:
    for first in range(0, len(paths), _AT_ONCE):
        yield from folder.store.read_many(paths[first : first + _AT_ONCE])


def _manifest(folder: ShardFolder, shard: str, data: bytes | None) -> Manifest:
    url = folder.store.url(f"{shard}.json")
    if data is None:
        raise BadSetup(f"{url} is absent, so shard {shard} is not finished; run the stage that makes the shards again")
    try:
        return Manifest.from_json(data)
    except (ValueError, TypeError) as error:
        raise BadSetup(f"{url} is damaged ({error}); remove it and make the shard again") from error


def _digest(folder: ShardFolder, member: Member) -> bytes:
    try:
        found = bytes.fromhex(member.sha256)
    except ValueError:
        found = b""
    if len(found) != hashlib.sha256().digest_size:
        raise BadSetup(f"{folder.store.root}: the manifest has no hash of {printable(member.name)}")
    return found


def _spans(folder: ShardFolder, manifest: Manifest) -> list[Span]:
    try:
        return spans(manifest)
    except ValueError as error:
        raise BadSetup(f"{folder.store.root}: {error}; see `decoupage shards verify`") from error


def _makers(folder: ShardFolder) -> Mapping[str, Recipe]:
    """What the recipe beside the shards says of the makers of their maps."""
    try:
        return dict(folder.store.read_json(RECIPE)["recipe"].get("makers", {}))
    except FileNotFoundError:
        return {}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadSetup(f"{folder.store.url(RECIPE)} is damaged ({error}); make the shards again") from error


def _tabulate(folder: ShardFolder, manifests: Sequence[Manifest]) -> SceneIndex:
    numbers: dict[str, int] = {}
    shard_of: dict[str, int] = {}
    first_member: list[int] = []
    tables: list[NDArray[np.void]] = []
    num_members = 0
    for number, manifest in enumerate(manifests):
        rows: list[tuple[int, int, int, bytes]] = []
        for span in _spans(folder, manifest):
            if span.key in shard_of:
                raise BadSetup(
                    f"{folder.store.root}: scene {span.key} is in shard {folder.shards[shard_of[span.key]]} and in "
                    f"shard {folder.shards[number]}; see `decoupage shards verify`"
                )
            shard_of[span.key] = number
            first_member.append(num_members + len(rows))
            for member in span.members:
                suffix = numbers.setdefault(suffix_of(member.name), len(numbers))
                rows.append((suffix, member.offset, member.num_bytes, _digest(folder, member)))
        tables.append(np.array(rows, _MEMBER))
        num_members += len(rows)
    if not shard_of:
        raise BadSetup(f"{folder.store.root} holds shards, but no scene in them")
    return SceneIndex(
        store=folder.store,
        fingerprint=manifests[0].fingerprint,
        contents_sha256=digest(canonical_json([manifest.tar_sha256 for manifest in manifests])).hex(),
        shards=folder.shards,
        keys=np.array(list(shard_of)),
        shard_of=np.array(list(shard_of.values()), np.int32),
        first_member=np.array(first_member, np.int64),
        members=np.concatenate(tables),
        suffixes=tuple(numbers),
        makers=_makers(folder),
    )
