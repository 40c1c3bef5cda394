"""Whether training and evaluation share a picture: by id and origin, by bytes, and by perceptual hash.

Evaluation is what is held out, and every list that the profile names. The library keeps near duplicates and shared
origins apart when it is built; here that is examined once more, also for pictures that were turned or mirrored.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from pipelines.config import LibraryConfig
from pipelines.faults import BadItem
from pipelines.foregrounds.cutout import over_gray
from pipelines.library.catalogue import read_catalogue
from pipelines.library.evaluation_lists import PUBLISHED_ID, EvaluationList, read_evaluation_list
from pipelines.library.near import hash_array, near_pairs
from pipelines.library.picture_hashes import HashCache, PictureHashes, hash_picture
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.manifest import read_manifest
from pipelines.scenes.assets import Assets
from pipelines.store import Store

HELD_OUT = "held out"
LEAKS = "library/leaks.csv"
"""Every leak that was found, for a person to decide on."""
COLUMNS = ("training", "evaluation", "list", "by", "bits")
AnyRecord = ForegroundRecord | BackgroundRecord


@dataclass(frozen=True, order=True)
class Leak:
    """A training asset that evaluation shows too.

    Attributes:
        evaluation: id or name in the list.
        by: `name` (id or origin), `bytes` (the same file), `picture` (near hashes); bits: that differ, else 0.
    """

    training: str
    evaluation: str
    list: str
    by: Literal["name", "bytes", "picture"]
    bits: int = 0


@dataclass(frozen=True)
class LeakReport:
    """What was compared and what was found.

    Attributes:
        num_training: assets that training may draw or shows.
        lists: name of each list -> number of its entries.
        unknown: assets of finished shards that no library holds, so that nobody knows what they are.
        unreadable: evaluation pictures that could not be hashed.
    """

    num_training: int
    lists: dict[str, int]
    leaks: tuple[Leak, ...]
    unknown: tuple[str, ...]
    unreadable: tuple[str, ...]

    @property
    def by_list(self) -> dict[str, int]:
        """List -> number of training assets that leak into it."""
        found = Counter(name for _, name in {(leak.training, leak.list) for leak in self.leaks})
        return {name: found[name] for name in self.lists}


def find_leaks(
    store: Store, photographs: Store, config: LibraryConfig, trained_on: Iterable[str], tested_on: Iterable[str]
) -> LeakReport:
    """Compare everything that training may see with everything that evaluation shows, and write `leaks.csv`.

    Args:
        trained_on, tested_on: ids of the assets that finished shards of training and of testing show.

    Raises:
        BadSetup: a catalogue or a list is missing.
    """
    records: list[AnyRecord] = [
        *read_catalogue(store, ForegroundRecord)[0],
        *read_catalogue(store, BackgroundRecord)[0],
    ]
    shown, tested = set(trained_on), set(tested_on)
    training = [record for record in records if record.split == "train" or record.id in shown]
    held_out = [record for record in records if record.split == "test" or record.id in tested]
    cache = HashCache(store)
    lists = [_held_out_list(held_out, Assets(store, photographs), cache)]
    lists += [read_evaluation_list(path, cache) for path in config.evaluation_lists]
    cache.save()
    leaks = sorted({leak for found in lists for leak in _compare(training, found, config.duplicate_distance_bits)})
    store.write(LEAKS, leaks_csv(leaks))
    return LeakReport(
        num_training=len(training),
        lists={found.name: found.num_entries for found in lists},
        leaks=tuple(leaks),
        unknown=tuple(sorted((shown | tested) - {record.id for record in records})),
        unreadable=tuple(name for found in lists for name in found.unreadable),
    )


def shown_assets(store: Store, folder: str) -> set[str]:
    """Ids of all assets that the finished shards of a folder show, also of shards that no profile plans any more."""
    shards = (name.removesuffix(".parquet") for name in store.names(folder, ".parquet"))
    manifests = (read_manifest(store, folder, shard) for shard in shards)
    return {asset for manifest in manifests if manifest for asset in manifest.assets}


def leaks_csv(leaks: Iterable[Leak]) -> bytes:
    """One line a leak."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(leak, column) for column in COLUMNS] for leak in leaks)
    return text.getvalue().encode()


def _held_out_list(records: Sequence[AnyRecord], assets: Assets, cache: HashCache) -> EvaluationList:
    names = frozenset(name for record in records for name in (record.id, record.origin))
    pictures: dict[str, PictureHashes] = {}
    unreadable = []
    for record in records:
        try:
            found = cache.get(record.sha256, lambda record=record: _hash_asset(record, assets))  # type: ignore[misc]
        except (BadItem, FileNotFoundError) as fault:
            unreadable.append(f"{record.id} ({fault})")
        else:
            # The cache holds the hashes of what is decoded; the file's own hash is the record's.
            pictures[record.id] = PictureHashes(record.sha256, found.hashes)
    return EvaluationList(HELD_OUT, names, pictures, tuple(unreadable))


def _hash_asset(record: AnyRecord, assets: Assets) -> PictureHashes:
    if isinstance(record, ForegroundRecord):
        return hash_picture(b"", Image.fromarray(over_gray(assets.cutout(record))))
    return hash_picture(b"", Image.fromarray(assets.photograph(record)))


def _compare(training: Sequence[AnyRecord], against: EvaluationList, distance_bits: int) -> Iterator[Leak]:
    by_bytes = {found.sha256: name for name, found in against.pictures.items()}
    for record in training:
        for name in _names(record) & against.names:
            yield Leak(record.id, name, against.name, "name")
        if record.sha256 in by_bytes:
            yield Leak(record.id, by_bytes[record.sha256], against.name, "bytes")
    names = [name for name, found in against.pictures.items() for _ in found.hashes]
    hashes = hash_array([digits for found in against.pictures.values() for digits in found.hashes])
    nearest: dict[tuple[int, str], int] = {}
    for i, j, bits in near_pairs(hash_array([r.perceptual_hash for r in training]), hashes, distance_bits):
        nearest[i, names[j]] = min(bits, nearest.get((i, names[j]), bits))
    for (i, name), bits in nearest.items():
        yield Leak(training[i].id, name, against.name, "picture", bits)


def _names(record: AnyRecord) -> set[str]:
    """Id, origin, and the id that the picture has in the data set it comes from."""
    names = {record.id, record.origin}
    return names | {match[1] for name in names if (match := PUBLISHED_ID.search(name))}
