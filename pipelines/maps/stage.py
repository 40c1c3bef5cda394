"""The stage that turns finished scene shards into shards of one kind of map.

A shard of maps has the number and the keys of the scene shard it is made from. Kinds of map are in the modules
beside this one.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from decoupage.faults import BadItem
from decoupage.fingerprint import Recipe, fingerprint
from decoupage.images.reading import open_image
from decoupage.images.types import Rgb
from decoupage.maps.maker import MapMaker
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import Span
from pipelines.shards.upstream import SceneFollower
from pipelines.stages.run import Outcome, Planned
from pipelines.stages.store import Store

SCHEMA = pa.schema([("key", pa.string()), ("height_px", pa.int64()), ("width_px", pa.int64())])
"""One row per map; the size is the map's own."""


class MapStage(SceneFollower):
    """A `Stage` for one kind of map.

    Args:
        maker: makes the maps.
        store: holds the scenes, and takes the maps.
        scenes: the stage that made the scenes.
        name: folder in the store; None takes the maker's name.
    """

    schema = SCHEMA

    def __init__(self, maker: MapMaker, store: Store, scenes: Planned, name: str | None = None) -> None:
        super().__init__(store, scenes)
        self.name = name or maker.name
        self.recipe: Recipe = {
            "stage": maker.name,
            "format": 1,
            "maker": maker.recipe,
            "scenes": fingerprint(scenes.recipe),
        }
        self.task = MapTask(maker, store)
        self._maker = maker

    def inputs(self, shard: str) -> dict[str, str]:
        """Hashes of the scene shard and of the maker's files. Raises BadSetup when they are absent or do not fit."""
        return super().inputs(shard) | self._maker.inputs()


@dataclass(frozen=True)
class MapTask:
    """A `ThreadedTask`: makes the maps of a batch of scenes. Pictures are decoded and encoded by several threads."""

    maker: MapMaker
    store: Store

    @property
    def batch_size(self) -> int:
        """Of the maker."""
        return self.maker.batch_size

    @property
    def in_process(self) -> bool:
        """Of the maker."""
        return self.maker.in_process

    @property
    def num_threads(self) -> int:
        """One for each core up to 16: a batch of composites takes some hundred MB."""
        return min(16, len(os.sched_getaffinity(0)))

    def many(self, items: Sequence[Span]) -> list[Outcome | BadItem]:
        """See `BatchTask`; a scene is bad when a picture of it is damaged."""
        composites = [self._composite(span) for span in items]
        pngs = iter(self.maker.pngs([found for found in composites if not isinstance(found, BadItem)]))
        return [
            found if isinstance(found, BadItem) else self._outcome(span.key, next(pngs))
            for span, found in zip(items, composites, strict=True)
        ]

    def _composite(self, span: Span) -> Rgb | BadItem:
        try:
            return SceneParts.decode(span.key, span.read(self.store)).composite
        except BadItem as fault:
            return fault

    def _outcome(self, key: str, png: bytes) -> Outcome:
        width, height = open_image(png).size
        row: dict[str, Any] = {"key": key, "height_px": height, "width_px": width}
        return Outcome({f"{key}.{self.maker.name}.png": png}, [row])
