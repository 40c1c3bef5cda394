"""The catalogue: collects the source stages' indexes, drops unusable assets, decides the split, writes one table.

Scenes know the sources only by `library/foregrounds.parquet` and `library/backgrounds.parquet`.
"""

import dataclasses
import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic

import pyarrow.parquet as pq

from decoupage.faults import BadSetup
from decoupage.randomness import hash64
from pipelines.config import LibraryConfig, LicencesConfig
from pipelines.library.comparison import Leak, compare, read_lists, unused_entries
from pipelines.library.duplicates import duplicates
from pipelines.library.evaluation_lists import EvaluationList
from pipelines.library.exclusions import EXCLUSIONS, Exclusion, excluded, read_exclusions
from pipelines.library.layout import read_indexes
from pipelines.library.names import former_names
from pipelines.library.objects import object_of
from pipelines.library.records import AnyRecord, BackgroundRecord, ForegroundRecord, Record, Split, schema_of
from pipelines.library.takedowns import read_takedowns, takedowns_path, taken_down
from pipelines.library.unmatched import Unmatched, in_none, unmatched
from pipelines.licences.terms import why_not_commercial
from pipelines.stages.manifest import Drop, Manifest, read_manifests
from pipelines.stages.run import parquet_bytes
from pipelines.stages.store import Store

_NAMES = {ForegroundRecord: "foregrounds", BackgroundRecord: "backgrounds"}


@dataclass(frozen=True)
class CatalogueReport(Generic[Record]):
    """The contents of a catalogue, and the assets that were left out of it.

    Attributes:
        name: `foregrounds` or `backgrounds`.
        records: the usable assets, by id.
        drops: the assets that were left out, with reasons.
        sha256: hash of the parquet file: the data version of everything drawn from it.
        unmatched: lines of takedowns, exclusions and lists of ids that match no asset of this kind.
    """

    name: str
    records: list[Record]
    drops: list[Drop]
    sha256: str
    unmatched: list[Unmatched] = field(default_factory=list)

    @property
    def drops_by_reason(self) -> dict[str, int]:
        """Reason -> number."""
        return dict(Counter(drop["reason"] for drop in self.drops).most_common())

    def count_by(self, column: str) -> dict[str, int]:
        """Value of a column -> number of records, most frequent first."""
        return dict(Counter(str(getattr(record, column)) for record in self.records).most_common())


def build_catalogue(
    store: Store,
    found: Sequence[Record],
    config: LibraryConfig,
    licences: LicencesConfig | None = None,
    photographs: Store | None = None,
) -> CatalogueReport[Record]:
    """Write the catalogue of one kind of asset.

    Args:
        found: all records of the sources.
        licences: whether the build is for commercial use; None = it is not.
        photographs: the folder of backgrounds; None = training is not compared with evaluation.

    Raises:
        BadSetup: the sources hold nothing usable, or two assets of one id; a user's list is damaged.
    """
    if not found:
        raise BadSetup("the sources hold nothing usable; quarantine/ says why")
    _require_unique(found)
    for folder in ("library", "quarantine"):
        store.remove_leftovers(folder)
    kind = type(found[0])
    used = [dataclasses.replace(record, split=_split(record, config)) for record in found]
    # Held-out pictures come first: of two near duplicates across the split, the one for training is dropped.
    used.sort(key=lambda record: (record.split != "test", record.id))
    drops: list[Drop] = []

    def leave_out(reason: str, why: Mapping[str, object]) -> None:
        nonlocal used
        drops.extend({"id": id_, "reason": reason, "detail": str(detail)} for id_, detail in why.items())
        used = [record for record in used if record.id not in why]

    takedowns, exclusions = read_takedowns(config), read_exclusions(store)
    missed = missed_lines(store, config, found, takedowns, exclusions)
    leave_out("takedown", taken_down(used, takedowns, config))
    leave_out("excluded", excluded(used, exclusions, config.duplicate_distance_bits))
    if licences is not None and licences.commercial:
        leave_out("licence", {record.id: why for record in used if (why := why_not_commercial(record.licence))})
    repeats = duplicates(used, config.duplicate_distance_bits)
    leave_out("duplicate", {id_: f"repeats {kept}" for id_, kept in repeats.items()})
    used.sort(key=lambda record: record.id)
    if photographs is not None:
        lists = read_lists(store, photographs, config, [record for record in used if record.split == "test"])
        missed += [unused_entries(listed, found) for listed in lists if listed.entries]
        leave_out("leak", _leaks(lists, used, config))
    name = _NAMES[kind]
    if not any(record.split == "train" for record in used):
        shown = ", ".join(f"{drop['id']} ({drop['reason']}: {drop['detail']})" for drop in drops[:3])
        raise BadSetup(f"no usable {name} for training: {len(found)} found, dropped {shown or 'none'}; see quarantine/")
    report = write_catalogue(store, used, drops, [part for part in missed if part.num_lines])
    store.write(f"quarantine/library-{name}.jsonl", b"".join(json.dumps(drop).encode() + b"\n" for drop in drops))
    return report


def write_catalogue(
    store: Store, used: list[Record], drops: list[Drop] | None = None, missed: list[Unmatched] | None = None
) -> CatalogueReport[Record]:
    """Write a catalogue of at least one record: the table, then the summary that records its hash."""
    kind = type(used[0])
    data = parquet_bytes([asdict(record) for record in used], schema_of(kind))
    report = CatalogueReport(_NAMES[kind], used, drops or [], hashlib.sha256(data).hexdigest(), missed or [])
    store.write(f"library/{report.name}.parquet", data)
    summary = {
        "sha256": report.sha256,
        "num_records": len(used),
        "drops": report.drops,
        "unmatched": list(map(asdict, report.unmatched)),
    }
    store.write(f"library/{report.name}.json", json.dumps(summary, indent=1).encode())
    return report


def missed_lines(
    store: Store,
    config: LibraryConfig,
    found: Sequence[AnyRecord],
    takedowns: Collection[str],
    exclusions: Sequence[Exclusion],
) -> list[Unmatched]:
    """Lines of takedowns and exclusions that match none of these assets; other kinds may have them."""
    ids = {record.id for record in found}
    names = set(ids)
    for record in found:
        names |= {record.origin, *former_names(record)}
    listed = [exclusion.id for exclusion in exclusions]
    return [
        unmatched(str(takedowns_path(config)), sorted(takedowns), names, "no id or origin of an asset"),
        unmatched(store.url(EXCLUSIONS), listed, ids, "no id of an asset"),
    ]


def unmatched_lines(store: Store) -> list[Unmatched]:
    """Lines of people's lists that match no asset of either catalogue; none while one of them is not made."""
    parts: list[Unmatched] = []
    for name in _NAMES.values():
        if not store.exists(f"library/{name}.json"):
            return []
        parts += [Unmatched(**part) for part in store.read_json(f"library/{name}.json").get("unmatched", ())]
    return in_none(parts)


def read_catalogue(store: Store, kind: type[Record]) -> tuple[list[Record], str]:
    """The records of a catalogue, by id, and its hash.

    Raises:
        BadSetup: the catalogue has not been made.
    """
    data, sha256 = read_catalogue_bytes(store, kind)
    return _records(data, kind), sha256


def find_records(store: Store, kind: type[Record], ids: Collection[str]) -> dict[str, Record]:
    """Those records of a catalogue, by id; one that it lacks is left out. Raises as `read_catalogue`."""
    data, _ = read_catalogue_bytes(store, kind)
    table = pq.read_table(io.BytesIO(data), filters=[("id", "in", sorted(ids))]) if ids else None
    return {row["id"]: kind(**row) for row in table.to_pylist()} if table else {}


def stored_catalogue(store: Store, kind: type[Record]) -> CatalogueReport[Record]:
    """The contents of a catalogue that was made. Raises as `read_catalogue`."""
    records, sha256 = read_catalogue(store, kind)
    summary = store.read_json(f"library/{_NAMES[kind]}.json")
    missed = [Unmatched(**part) for part in summary.get("unmatched", ())]
    return CatalogueReport(_NAMES[kind], records, summary["drops"], sha256, missed)


def read_catalogue_bytes(store: Store, kind: type[Record]) -> tuple[bytes, str]:
    """The parquet file of a catalogue, and its hash. Raises as `read_catalogue`."""
    path = f"library/{_NAMES[kind]}"
    try:
        data, summary = store.read(f"{path}.parquet"), store.read_json(f"{path}.json")
    except FileNotFoundError:
        raise BadSetup(f"{store.url(path)}.parquet is missing; make the {_NAMES[kind]} library first") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if summary.get("sha256") != sha256:
        raise BadSetup(f"{store.url(path)}.parquet is damaged; make the {_NAMES[kind]} library again")
    return data, sha256


def read_foregrounds(store: Store, stage: str) -> list[ForegroundRecord]:
    """All cutouts in a source stage's finished shards, with what each shows and the position of its bytes filled in.

    Raises:
        BadSetup: an index is not the one that its manifest records.
    """
    records = []
    for manifest, rows in _read_shards(store, stage, ForegroundRecord):
        places = {member.name: member for member in manifest.members}
        tar = f"{stage}/{manifest.shard}.tar"
        for row in rows:
            place = places[row.member]
            shown = object_of(row.category, row.prompt, row.caption)
            records.append(
                dataclasses.replace(row, tar=tar, offset=place.offset, num_bytes=place.num_bytes, object=shown)
            )
    return records


def read_backgrounds(store: Store, stage: str) -> list[BackgroundRecord]:
    """All photographs in the index of a source stage's finished shards. Raises as `read_foregrounds`."""
    return [row for _, rows in _read_shards(store, stage, BackgroundRecord) for row in rows]


def _read_shards(store: Store, stage: str, kind: type[Record]) -> Iterator[tuple[Manifest, list[Record]]]:
    shards = [name.removesuffix(".parquet") for name in store.names(stage, ".parquet") if not name.startswith(".")]
    manifests = [manifest for manifest in read_manifests(store, stage, shards) if manifest is not None]
    for manifest, index in zip(manifests, read_indexes(store, manifests), strict=True):
        yield manifest, _records(index, kind)


def _require_unique(found: Sequence[Record]) -> None:
    """Ids are keys: of two assets of one id, takedowns, duplicates and draws would hit both or either."""
    by_id: dict[str, Record] = {}
    for record in found:
        if (other := by_id.setdefault(record.id, record)) is not record:
            raise BadSetup(f"two assets have the id {record.id}, of {other.origin} and of {record.origin}; rename one")


def _leaks(lists: Sequence[EvaluationList], used: Sequence[Record], config: LibraryConfig) -> dict[str, Leak]:
    """The assets that must not be trained on because evaluation shows them: id -> the first leak found."""
    training = [record for record in used if record.split == "train"]
    leaks = compare(training, lists, config.duplicate_distance_bits)
    return {leak.training: leak for leak in reversed(leaks)}


def _split(record: ForegroundRecord | BackgroundRecord, config: LibraryConfig) -> Split:
    held_out = hash64("split", record.origin) < config.held_out_share * 2**64
    return "test" if held_out or record.origin in config.held_out else record.split


def _records(data: bytes, kind: type[Record]) -> list[Record]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return [kind(**row) for row in rows]
