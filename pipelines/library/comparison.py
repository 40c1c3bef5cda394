"""Compares training assets with evaluation pictures: by id and origin, by bytes, and by perceptual hash.

The library leaves out the assets found here (`catalogue.py`); the dataset's check compares again (`leaks.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from decoupage.faults import BadItem
from pipelines.config import LibraryConfig
from pipelines.library.assets import Assets
from pipelines.library.duplicates import hash_array, near_pairs
from pipelines.library.evaluation_lists import (
    HASH_LISTS,
    PUBLISHED_ID,
    EvaluationList,
    names_of,
    read_evaluation_list,
    read_hash_list,
)
from pipelines.library.names import former_names
from pipelines.library.picture_hashes import HashCache, PictureHashes, hash_cutout, hash_picture
from pipelines.library.records import AnyRecord, BackgroundRecord, ForegroundRecord
from pipelines.library.unmatched import Unmatched
from pipelines.stages.store import Store


@dataclass(frozen=True, order=True)
class Leak:
    """A training asset that evaluation shows too.

    Attributes:
        training: id of the training asset.
        evaluation: id or name in the list.
        list: name of the list.
        by: `name` (id or origin), `bytes` (the same file) or `picture` (near hashes).
        bits: number of differing bits of near hashes, else 0.
    """

    training: str
    evaluation: str
    list: str
    by: Literal["name", "bytes", "picture"]
    bits: int = 0

    def __str__(self) -> str:
        return f"{self.training} = {self.evaluation} ({self.list}, by {self.by})"


@dataclass(frozen=True)
class Compared:
    """A training picture as it is compared with lists.

    Attributes:
        id: what a leak calls it.
        names: by which a list may know it.
        sha256, perceptual_hash: as records hold them.
        kind: what it is a picture of: a cutout, or a photograph.
    """

    id: str
    names: frozenset[str]
    sha256: str
    perceptual_hash: str
    kind: type[AnyRecord]

    @classmethod
    def of(cls, record: AnyRecord) -> "Compared":
        """An asset of the library."""
        names = frozenset(_names(record))
        return cls(record.id, names, record.sha256, record.perceptual_hash, type(record))


def read_lists(
    store: Store, photographs: Store, config: LibraryConfig, held_out: Sequence[AnyRecord]
) -> list[EvaluationList]:
    """All lists that training must not share a picture with: held-out assets by kind, the profile's lists, the root's.

    Raises:
        BadSetup: a list is missing, damaged or empty, or a held-out asset is no longer what was recorded.
    """
    cache, assets = HashCache(store), Assets(store, photographs)
    names = {ForegroundRecord: "held-out foregrounds", BackgroundRecord: "held-out backgrounds"}
    lists = [
        _held_out(name, [record for record in held_out if isinstance(record, kind)], assets, cache)
        for kind, name in names.items()
    ]
    lists += [read_evaluation_list(path, cache) for path in config.evaluation_lists]
    found = [f"{HASH_LISTS}/{name}" for name in store.names(HASH_LISTS, ".json") if not name.startswith(".")]
    lists += [read_hash_list(path, store.read_json(path)) for path in found]
    cache.save()
    return lists


def unused_entries(listed: EvaluationList, found: Sequence[AnyRecord]) -> Unmatched:
    """The entries of a file of ids that name none of these assets."""
    names = {name for record in found for name in _names(record)}
    missed = {entry: "" for entry in listed.entries if names.isdisjoint(names_of(entry))}
    return Unmatched(listed.name, len(listed.entries), missed, "no asset of the library")


def compare(training: Sequence[AnyRecord], lists: Iterable[EvaluationList], distance_bits: int) -> list[Leak]:
    """All leaks of training assets into the lists, sorted; see `compare_pictures`."""
    return compare_pictures([Compared.of(record) for record in training], lists, distance_bits)


def compare_pictures(training: Sequence[Compared], lists: Iterable[EvaluationList], distance_bits: int) -> list[Leak]:
    """All leaks of training pictures into the lists, sorted.

    Args:
        distance_bits: two pictures whose 64-bit perceptual hashes differ in at most so many bits count as one.
    """
    return sorted({leak for against in lists for leak in _leaks(training, against, distance_bits)})


def _held_out(name: str, records: Sequence[AnyRecord], assets: Assets, cache: HashCache) -> EvaluationList:
    names = frozenset(alias for record in records for alias in (record.id, record.origin))
    pictures: dict[str, PictureHashes] = {}
    unreadable = []
    for record in records:
        try:
            found = cache.get(record.sha256, lambda record=record: _hash_asset(record, assets))  # type: ignore[misc]
        except BadItem as fault:
            unreadable.append(f"{record.id} ({fault})")
        else:
            pictures[record.id] = found
    kind = type(records[0]) if records else None
    return EvaluationList(name, names, pictures, tuple(unreadable), kind)


def _hash_asset(record: AnyRecord, assets: Assets) -> PictureHashes:
    if isinstance(record, ForegroundRecord):
        return hash_cutout(record.sha256, assets.cutout(record))
    return hash_picture(record.sha256, Image.fromarray(assets.photograph(record)))


def _leaks(training: Sequence[Compared], against: EvaluationList, distance_bits: int) -> Iterator[Leak]:
    for picture in training:
        for name in picture.names & against.names:
            yield Leak(picture.id, name, against.name, "name")
    # A cutout and a photograph are never the same picture; files in a folder may be either.
    alike = [picture for picture in training if against.kind is None or picture.kind is against.kind]
    by_bytes = {found.sha256: name for name, found in against.pictures.items()}
    for picture in alike:
        if picture.sha256 in by_bytes:
            yield Leak(picture.id, by_bytes[picture.sha256], against.name, "bytes")
    names = [name for name, found in against.pictures.items() for _ in found.hashes]
    hashes = hash_array([digits for found in against.pictures.values() for digits in found.hashes])
    nearest: dict[tuple[str, str], int] = {}
    for i, j, bits in near_pairs(hash_array([r.perceptual_hash for r in alike]), hashes, distance_bits):
        pair = alike[i].id, names[j]
        nearest[pair] = min(bits, nearest.get(pair, bits))
    for (id_, name), bits in nearest.items():
        yield Leak(id_, name, against.name, "picture", bits)


def _names(record: AnyRecord) -> set[str]:
    """Id, origin, what it was called before, and the id that the picture has in the data set it comes from."""
    names = {record.id, record.origin, *former_names(record)}
    return names | published_ids(names)


def published_ids(names: Iterable[str]) -> set[str]:
    """The ids in these names that pictures have in the data sets that they come from."""
    return {match[1] for name in names if (match := PUBLISHED_ID.search(name))}
