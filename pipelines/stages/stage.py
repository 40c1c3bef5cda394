"""What a stage is: the attributes that the machinery asks of foregrounds, scenes, maps and the join alike."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import pyarrow as pa

from decoupage.fingerprint import Recipe
from pipelines.stages.manifest import Manifest
from pipelines.stages.task import Task


class Planned(Protocol):
    """The plan of a stage: the part that later stages depend on."""

    @property
    def name(self) -> str:
        """The stage's folder in the store, e.g. `scenes` or `foregrounds/mulan`."""
        ...

    @property
    def recipe(self) -> Recipe:
        """Everything that decides an item's bytes."""
        ...

    @property
    def layout(self) -> Recipe:
        """Everything that decides which shard holds an item."""
        ...

    def shards(self) -> Sequence[str]:
        """All shard numbers of the stage, in order."""
        ...


class Stage(Planned, Protocol):
    """A stage, as `run_stage` takes it."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the parquet index."""
        ...

    @property
    def task(self) -> Task:
        """Turns an item, or a batch of them, into outcomes; picklable, unless it stays in this process."""
        ...

    def items(self, shard: str) -> Iterable[tuple[str, Any]]:
        """(key, item) pairs of one shard, in order; sized where the number is known, else a stream."""
        ...

    def inputs(self, shard: str) -> dict[str, str]:
        """Hashes of the shard's inputs. Raises BadSetup when an input is missing."""
        ...

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        """True when the stage, by the recipe that it has now, would make the finished shard again as it is."""
        ...
