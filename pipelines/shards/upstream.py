"""What a stage needs of the stages it follows: their plan, and that their shards are finished.

Masks and maps follow the scenes; the join follows the scenes, the masks and the maps.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines.scenes.read import Span, spans
from pipelines.stages.manifest import CurrentByInputs, Manifest, read_manifest
from pipelines.stages.run import Planned
from pipelines.stages.store import Store


def finished(store: Store, stage: Planned, shard: str) -> Manifest:
    """The manifest of a finished shard of another stage.

    Raises:
        BadSetup: it is absent, damaged, or made by another recipe than the stage's.
    """
    manifest = read_manifest(store, stage.name, shard)
    if manifest is None:
        raise BadSetup(f"{store.url(stage.name)} has no finished shard {shard}; materialize {stage.name} first")
    if manifest.fingerprint != fingerprint(stage.recipe):
        raise BadSetup(
            f"{store.url(stage.name)}/{shard} has recipe {manifest.fingerprint}, the profile asks for "
            f"{fingerprint(stage.recipe)}; materialize {stage.name} again"
        )
    return manifest


def counted_spans(manifest: Manifest) -> list[Span]:
    """The spans of a shard, as many as it has items.

    Raises:
        BadSetup: the manifest counts other items than it lists, or lists what is not a scene.
    """
    try:
        found = spans(manifest)
    except ValueError as error:
        raise BadSetup(f"{error}; remove the shard's .json and materialize {manifest.stage} again") from error
    if len(found) != manifest.num_items:
        raise BadSetup(
            f"{manifest.stage}/{manifest.shard} counts {manifest.num_items} items and lists {len(found)}; "
            f"remove its .json and materialize {manifest.stage} again"
        )
    return found


class SceneFollower(CurrentByInputs):
    """The plan of a stage that makes something of each scene: a shard has the number and the keys of its scene shard.

    A stage derives from it and adds its name, recipe, schema and task.

    Args:
        store: holds the scenes, and takes what is made of them.
        scenes: the stage that made the scenes.
    """

    def __init__(self, store: Store, scenes: Planned) -> None:
        self.layout = scenes.layout
        self._store = store
        self._scenes = scenes

    def shards(self) -> Sequence[str]:
        """Those of the scenes."""
        return self._scenes.shards()

    def items(self, shard: str) -> Iterable[tuple[str, Any]]:
        """One span of members per scene."""
        return SceneItems(self._store, self._scenes, shard, finished(self._store, self._scenes, shard).num_items)

    def inputs(self, shard: str) -> dict[str, str]:
        """Hash of the scene shard. Raises BadSetup when it is absent or of another recipe."""
        return {self._scenes.name: finished(self._store, self._scenes, shard).tar_sha256}


@dataclass(frozen=True)
class SceneItems:
    """(key, span) pairs of one finished shard, read when iterated; only their number is held in memory."""

    store: Store
    scenes: Planned
    shard: str
    num_items: int

    def __len__(self) -> int:
        return self.num_items

    def __iter__(self) -> Iterator[tuple[str, Span]]:
        for span in counted_spans(finished(self.store, self.scenes, self.shard)):
            yield span.key, span
