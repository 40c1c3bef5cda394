"""The profile and its stages, as the definitions need them when they are loaded: shard keys and code versions."""

import warnings
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

POLICY = dg.BackfillPolicy.multi_run(max_partitions_per_run=50)
"""A run takes up to 50 shards: starting one costs seconds, a shard of the demo less."""


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
    def shards(self) -> dg.StaticPartitionsDefinition:
        """One partition per shard; raising `scenes.num_scenes` appends some."""
        return dg.StaticPartitionsDefinition(self.factory.scenes.shards())

    def code_version(self, stage: Stage) -> str:
        """Fingerprint of a stage's recipe: changes when the stage would make other bytes from the same inputs."""
        return fingerprint(stage.recipe)
