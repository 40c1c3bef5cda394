"""The profile and its stages, as the definitions need them when they are loaded: partitions and code versions."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from decoupage.fingerprint import fingerprint
from pipelines.commercial import refuse
from pipelines.factory import Factory
from pipelines.stages.run import Stage
from pipelines.stages.store import Store
from profiles.commercial import obstacles
from profiles.profile import Profile

# Backfill policies are marked beta; the note would come once for every asset at every start.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

SHARDS_PER_RUN = 50
"""Shards that a run of a backfill takes, or one partition where that holds more: starting a run costs seconds."""
LAST_HOLDS = "last_partition_holds"
"""Key of an asset's metadata that says what its last partition holds by plan (`Plan.contents`)."""


@dataclass(frozen=True)
class Plan:
    """A profile with its stages; building it touches no file of the data root."""

    profile: Profile

    def __post_init__(self) -> None:
        # A commercial profile that uses what it may not gets no definitions.
        refuse(obstacles(self.profile))

    @cached_property
    def factory(self) -> Factory:
        """The stages of the profile over its store."""
        return Factory(self.profile, Store(self.profile.root))

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Partition key -> its shards, in order: `automation.shards_per_partition` consecutive ones.

        A key never changes its meaning: `00000` is a shard, `00000-00009` ten of them, also while the last of these are
        not planned yet. Raising `scenes.num_scenes` fills the last group and appends others.
        """
        size, shards = self.profile.automation.shards_per_partition, self.factory.scenes.shards()
        firsts = range(0, len(shards), size)
        return {_key(first, size): tuple(shards[first : first + size]) for first in firsts}

    @cached_property
    def partitions(self) -> dg.StaticPartitionsDefinition:
        """The partitions of everything that is made shard by shard."""
        return dg.StaticPartitionsDefinition(list(self.groups))

    @property
    def backfill_policy(self) -> dg.BackfillPolicy:
        """How many partitions a run of a backfill takes."""
        size = self.profile.automation.shards_per_partition
        return dg.BackfillPolicy.multi_run(max_partitions_per_run=max(1, SHARDS_PER_RUN // size))

    def shards_of(self, keys: Iterable[str]) -> list[str]:
        """The shards of some partitions, in order."""
        return [shard for key in keys for shard in self.groups[key]]

    def contents(self, key: str) -> str:
        """The shards of a partition and the first and the last of their planned scenes, in words."""
        shards, scenes = self.groups[key], self.factory.scenes
        first, last = scenes.keys(shards[0])[0], scenes.keys(shards[-1])[-1]
        named = shards[0] if len(shards) == 1 else f"{shards[0]} to {shards[-1]}"
        return f"{named}: scenes {first} to {last}"

    @cached_property
    def last_contents(self) -> str:
        """`contents` of the last partition, the only one that grows with `scenes.num_scenes`."""
        return self.contents(next(reversed(self.groups)))

    def code_version(self, stage: Stage) -> str:
        """Fingerprint of a stage's recipe: changes when the stage would make other bytes from the same inputs."""
        return fingerprint(stage.recipe)


def _key(first: int, size: int) -> str:
    return f"{first:05d}" if size == 1 else f"{first:05d}-{first + size - 1:05d}"
