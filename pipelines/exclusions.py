"""What the exclusion list means for a store: which assets go, which finished shards the next run makes again."""

from dataclasses import dataclass
from typing import Any

from pipelines.factory import Factory
from pipelines.library.catalogue import read_backgrounds
from pipelines.library.exclusions import excluded, read_exclusions
from pipelines.library.takedowns import AffectedShard, affected_shards
from pipelines.takedowns import all_foregrounds, planned_shards


@dataclass(frozen=True)
class ExclusionReport:
    """Where excluded assets are.

    Attributes:
        excluded: id -> why, of every asset of the sources that the library leaves out, copies too.
        unmatched: listed ids that no source holds.
        shards: finished ones that show or have drawn one; the next run makes the planned ones again.
    """

    excluded: dict[str, str]
    unmatched: tuple[str, ...]
    shards: tuple[AffectedShard, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        shards = [shard.to_dict() for shard in self.shards]
        return {"excluded": self.excluded, "unmatched": list(self.unmatched), "shards": shards}


def find_excluded(factory: Factory) -> ExclusionReport:
    """Look for the assets of the root's exclusion list in the store. Nothing is changed.

    Raises:
        BadSetup: the list is damaged.
    """
    store, bits = factory.store, factory.config.library.duplicate_distance_bits
    exclusions = read_exclusions(store)
    foregrounds, backgrounds = all_foregrounds(store), read_backgrounds(store, factory.backgrounds.name)
    gone = excluded(foregrounds, exclusions, bits) | excluded(backgrounds, exclusions, bits)
    unmatched = tuple(exclusion.id for exclusion in exclusions if exclusion.id not in gone)
    shards = affected_shards(store, gone.keys(), planned_shards(factory))
    return ExclusionReport(dict(sorted(gone.items())), unmatched, tuple(shards))
