"""The stage that draws the imperfect masks of finished scene shards.

Apart from the scenes, so that another mix of errors remakes masks and shards, and neither scenes nor maps.
"""

from dataclasses import dataclass

import pyarrow as pa

from decoupage.faults import BadItem
from decoupage.fingerprint import Recipe, canonical_json, fingerprint
from decoupage.images.codecs import encode_mask
from decoupage.randomness import generator
from pipelines.config import MasksConfig
from pipelines.masks.imperfect import ImperfectMask, imperfect_mask
from pipelines.scenes import record
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import Span
from pipelines.shards.upstream import SceneFollower
from pipelines.stages.run import Outcome, Planned
from pipelines.stages.store import Store

FORMAT = 3
"""Raised when the code changes the bytes of a mask."""
SCHEMA = pa.schema([column for column in record.SCHEMA if column.name in ("key", "layer", *record.MASK_COLUMNS)])
"""One row per layer."""


class MaskStage(SceneFollower):
    """The stage `masks`: for each scene its masks, and its json with what is said of them.

    Args:
        config: which errors, how often, how far.
        store: holds the scenes, and takes the masks.
        scenes: the stage that made the scenes.
        name: folder in the store.
    """

    schema = SCHEMA

    def __init__(self, config: MasksConfig, store: Store, scenes: Planned, name: str = "masks") -> None:
        super().__init__(store, scenes)
        self.name = name
        self.recipe: Recipe = {
            "stage": "masks",
            "format": FORMAT,
            "masks": config.model_dump(mode="json"),
            "scenes": fingerprint(scenes.recipe),
        }
        self.task = MaskTask(config, store, fingerprint(self.recipe))


@dataclass(frozen=True)
class MaskTask:
    """Draws the masks of one scene: a function of the errors' mix, and of the scene."""

    config: MasksConfig
    store: Store
    recipe_fingerprint: str

    def __call__(self, span: Span) -> Outcome:
        """See `MaskStage`.

        Raises:
            BadItem: `hidden` when a layer shows nowhere, so that no mask could ask for it; a picture is damaged.
        """
        key = span.key
        parts = SceneParts.decode(key, span.read(self.store))
        masks = [self._draw(parts, i) for i in range(len(parts.layers))]
        measured = [(drawn.error, drawn.iou, int(drawn.mask.sum()), drawn.area_ratio) for drawn in masks]
        said = [dict(zip(record.MASK_COLUMNS, values, strict=True)) for values in measured]
        layers = [layer | mask for layer, mask in zip(parts.record["layers"], said, strict=True)]
        members = {f"{key}.mask{i}.png": encode_mask(drawn.mask) for i, drawn in enumerate(masks)}
        members[f"{key}.json"] = canonical_json(
            parts.record | {"layers": layers, "masks_recipe": self.recipe_fingerprint}
        )
        return Outcome(members, [{"key": key, "layer": i} | mask for i, mask in enumerate(said)])

    def _draw(self, parts: SceneParts, i: int) -> ImperfectMask:
        if not parts.visible_mask(i).any():
            raise BadItem("hidden", f"layer {i} shows nowhere")
        return imperfect_mask(parts, i, self.config, generator(parts.record["seed"], "mask", f"{parts.key}/{i}"))
