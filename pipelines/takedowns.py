"""What the lists of takedowns and of exclusions mean for a store: which assets go, which finished shards hold them.

This is a module of its own because it needs the sources, the library's rules and the profile's plan together.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.factory import Factory
from pipelines.library.catalogue import read_backgrounds, read_foregrounds
from pipelines.library.exclusions import excluded, read_exclusions
from pipelines.library.names import former_names
from pipelines.library.records import AnyRecord
from pipelines.library.takedowns import AffectedShard, affected_shards, read_takedowns, takedowns_path, taken_down
from pipelines.library.unmatched import unmatched
from pipelines.pairs.stage import PAIRS
from pipelines.stages.manifest import read_manifests
from pipelines.stages.store import Store


@dataclass(frozen=True)
class TakedownReport:
    """Where listed assets are.

    Attributes:
        listed: lines of the list.
        removed: id -> why, of every asset of the sources that goes, and of listed ids that no source holds.
        unmatched: lines that name nothing in this store.
        note: a sentence on those, with what they probably mean; empty where there are none.
        shards: that show or have drawn one, or have a scene that draws otherwise without it.
    """

    listed: tuple[str, ...]
    removed: dict[str, str]
    unmatched: tuple[str, ...]
    note: str
    shards: tuple[AffectedShard, ...]

    @property
    def matches_nothing(self) -> bool:
        """True for a list of which no line names anything here: probably the wrong list, or the wrong root."""
        return bool(self.listed) and len(self.unmatched) == len(self.listed)

    @property
    def holding(self) -> list[AffectedShard]:
        """Shards whose pictures show a listed asset."""
        return [shard for shard in self.shards if shard.shown]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"num_holding": len(self.holding)}


def find_takedowns(factory: Factory) -> TakedownReport:
    """Look for the assets of the profile's takedown list in the store. Nothing is changed.

    Raises:
        BadSetup: the list is not there, or is not UTF-8.
    """
    store, config = factory.store, factory.config.library
    names = read_takedowns(config)
    records: list[AnyRecord] = [*all_foregrounds(store), *read_backgrounds(store, factory.backgrounds.name)]
    removed: dict[str, str] = {}
    for kind in {type(record) for record in records}:
        removed |= taken_down([record for record in records if isinstance(record, kind)], names, config)
    known = set[str]().union(*({record.id, record.origin, *former_names(record)} for record in records))
    pairs = _pairs(store)
    known |= set().union(*(called for _, called in pairs.values()))
    of_pairs = {key: f"listed in {config.takedowns}" for key, (_, called) in pairs.items() if called & names}
    # An asset whose source is gone is still known by its id to the shards that show it.
    removed |= dict.fromkeys(names - known, f"listed in {config.takedowns}")
    shards = affected_shards(store, removed.keys(), planned_shards(factory), moved_shards(factory, removed))
    planned = factory.pairs.shards() if factory.pairs else []
    for shard in sorted({pairs[key][0] for key in of_pairs}):
        held = tuple(key for key in of_pairs if pairs[key][0] == shard)
        shards.append(AffectedShard(PAIRS, shard, held, drawn=True, planned=shard in planned))
    removed |= of_pairs
    shown = {asset for shard in shards for asset in shard.shown}
    missed = unmatched(str(takedowns_path(config)), sorted(names), known | shown, f"nothing in {store.root}")
    removed = {name: why for name, why in sorted(removed.items()) if name not in missed.lines}
    note = missed.sentence if missed.lines else ""
    return TakedownReport(tuple(sorted(names)), removed, tuple(missed.lines), note, tuple(shards))


def _pairs(store: Store) -> dict[str, tuple[str, set[str]]]:
    """Key of each stored pair -> its shard, and what lists may call it."""
    found = {}
    for file in store.names(PAIRS, ".parquet"):
        for row in store.read_table(f"{PAIRS}/{file}", ["key", "name", "origin"]).to_pylist():
            called = {row["key"], row["name"], row["origin"]} - {""}
            found[row["key"]] = (file.removesuffix(".parquet"), called)
    return found


@dataclass(frozen=True)
class ExclusionReport:
    """Where excluded assets are.

    Attributes:
        excluded: id -> why, of every asset of the sources that the library leaves out, copies too.
        unmatched: listed ids that no source holds.
        shards: finished ones that show or have drawn one, or have a scene that draws otherwise without it; the next
            run makes the planned ones again.
    """

    excluded: dict[str, str]
    unmatched: tuple[str, ...]
    shards: tuple[AffectedShard, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def find_excluded(factory: Factory) -> ExclusionReport:
    """Look for the assets of the root's exclusion list in the store. Nothing is changed.

    Raises:
        BadSetup: the list is damaged.
    """
    store, bits = factory.store, factory.config.library.duplicate_distance_bits
    exclusions = read_exclusions(store)
    foregrounds, backgrounds = all_foregrounds(store), read_backgrounds(store, factory.backgrounds.name)
    gone = excluded(foregrounds, exclusions, bits) | excluded(backgrounds, exclusions, bits)
    missed = tuple(exclusion.id for exclusion in exclusions if exclusion.id not in gone)
    shards = affected_shards(store, gone.keys(), planned_shards(factory), moved_shards(factory, gone))
    return ExclusionReport(dict(sorted(gone.items())), missed, tuple(shards))


def planned_shards(factory: Factory) -> set[tuple[str, str]]:
    """(folder, shard) of all shards of scenes that the profile makes."""
    stages = [stage for dataset in factory.datasets for stage in (dataset.scenes, dataset.shards)]
    return {(stage.name, shard) for stage in stages for shard in stage.shards()}


def moved_shards(factory: Factory, gone: Collection[str]) -> set[tuple[str, str]]:
    """(folder, shard) of the finished shards with a scene whose draws change when these assets go."""
    found: set[tuple[str, str]] = set()
    if not gone:
        return found
    for scenes, joined in ((dataset.scenes, dataset.shards) for dataset in factory.datasets):
        finished = read_manifests(factory.store, scenes.name, scenes.shards())
        manifests = [manifest for manifest in finished if manifest is not None]
        for manifest in scenes.moved_without(manifests, gone):
            found |= {(scenes.name, manifest.shard), (joined.name, manifest.shard)}
    return found


def all_foregrounds(store: Store) -> list[AnyRecord]:
    """Of every source in the store, also those that the profile no longer uses: finished shards may show them."""
    return [r for name in store.names("foregrounds") for r in read_foregrounds(store, f"foregrounds/{name}")]
