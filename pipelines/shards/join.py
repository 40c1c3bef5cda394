"""The join: scenes, their masks and maps, side by side in one tar. Member bytes are copied, never encoded again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import Recipe, fingerprint
from pipelines.scenes.read import Span
from pipelines.scenes.record import SCHEMA
from pipelines.shards.upstream import SceneFollower, counted_spans, finished
from pipelines.stages.manifest import Manifest
from pipelines.stages.run import Outcome, Planned
from pipelines.stages.store import Store

SCENES_FINGERPRINT = "scenes_fingerprint"
MASKS_FINGERPRINT = "masks_fingerprint"
"""Keys of the manifest's inputs that say which recipes each scene's json must name."""


@dataclass(frozen=True)
class Pieces:
    """One scene to join.

    Attributes:
        key: of the scene.
        spans: its members in the scenes, in the masks and in each stage of maps, in the order they enter the tar.
        missing: stages that have nothing of the scene -> why.
        rows: its rows of the parquet index, of scenes and masks together.
    """

    key: str
    spans: tuple[Span, ...]
    missing: dict[str, str]
    rows: tuple[dict[str, Any], ...]


class ShardJoin(SceneFollower):
    """The stage `shards`.

    Args:
        store: holds the source stages, and takes the joined shards.
        scenes: the stage that made the scenes.
        masks: the stage that drew their masks.
        maps: the stages that made the maps, in the order in which their members enter the tar.
        name: folder in the store.
    """

    schema = SCHEMA

    def __init__(
        self, store: Store, scenes: Planned, masks: Planned, maps: Sequence[Planned], name: str = "shards"
    ) -> None:
        super().__init__(store, scenes)
        self.name = name
        self.recipe: Recipe = {
            "stage": "shards",
            "format": 2,
            "sources": {stage.name: fingerprint(stage.recipe) for stage in (scenes, masks, *maps)},
            "makers": {stage.name: stage.recipe["maker"] for stage in maps},
        }
        self.task: Callable[[Any], Outcome] = JoinTask(store, masks.name)
        self._masks = masks
        self._followers = (masks, *maps)

    def items(self, shard: str) -> "JoinItems":
        """One item per scene."""
        num_items = finished(self._store, self._scenes, shard).num_items
        return JoinItems(self._store, self._scenes, self._followers, shard, num_items)

    def inputs(self, shard: str) -> dict[str, str]:
        """Hashes of the source shards, and the recipes of scenes and masks.

        Raises:
            BadSetup: a source shard is absent, or masks or maps were made from another scene shard than the one there.
        """
        scenes = finished(self._store, self._scenes, shard)
        found = {self._scenes.name: scenes.tar_sha256, SCENES_FINGERPRINT: scenes.fingerprint}
        for stage in self._followers:
            manifest = finished(self._store, stage, shard)
            if manifest.inputs.get(self._scenes.name) != scenes.tar_sha256:
                raise BadSetup(
                    f"{self._store.url(stage.name)}/{shard} was made from another shard of scenes than the one "
                    f"there now; materialize {stage.name} again"
                )
            found[stage.name] = manifest.tar_sha256
        return found | {MASKS_FINGERPRINT: fingerprint(self._masks.recipe)}


@dataclass(frozen=True)
class JoinItems:
    """(key, pieces) pairs of one shard, read when iterated; only their number is held in memory.

    Attributes:
        followers: the stage of masks, then those of maps.
    """

    store: Store
    scenes: Planned
    followers: tuple[Planned, ...]
    shard: str
    num_items: int

    def __len__(self) -> int:
        return self.num_items

    def __iter__(self) -> Iterator[tuple[str, Pieces]]:
        scenes = finished(self.store, self.scenes, self.shard)
        manifests = [finished(self.store, stage, self.shard) for stage in self.followers]
        found = [{span.key: span for span in counted_spans(manifest)} for manifest in manifests]
        reasons = [{drop["id"]: drop["reason"] for drop in manifest.drops} for manifest in manifests]
        scene_rows, mask_rows = self._rows(scenes), self._rows(manifests[0])
        for span in counted_spans(scenes):
            missing = {
                stage.name: why.get(span.key, "not made")
                for stage, there, why in zip(self.followers, found, reasons, strict=True)
                if span.key not in there
            }
            parts = (span, *(there[span.key] for there in found if span.key in there))
            pairs = zip(scene_rows.get(span.key, ()), mask_rows.get(span.key, ()), strict=not missing)
            yield span.key, Pieces(span.key, parts, missing, tuple(scene | mask for scene, mask in pairs))

    def _rows(self, manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
        rows = self.store.read_table(f"{manifest.stage}/{self.shard}.parquet").to_pylist()
        if len(rows) != manifest.num_rows:
            raise BadSetup(
                f"{self.store.url(manifest.stage)}/{self.shard}.parquet has {len(rows)} rows, its manifest "
                f"says {manifest.num_rows}; remove the shard's .json and materialize {manifest.stage} again"
            )
        return {key: list(group) for key, group in groupby(rows, lambda row: row["key"])}


@dataclass(frozen=True)
class JoinTask:
    """Copies the members of one scene.

    Attributes:
        masks: name of the stage that drew the masks.
    """

    store: Store
    masks: str

    def __call__(self, pieces: Pieces) -> Outcome:
        """The scene's outcome.

        Raises:
            BadItem: `missing_mask` or `missing_map`. BadSetup: a source shard is damaged.
        """
        if pieces.missing:
            kind = "mask" if self.masks in pieces.missing else "map"
            lacking = ", no ".join(f"{stage} ({why})" for stage, why in pieces.missing.items())
            raise BadItem(f"missing_{kind}", f"{pieces.key} has no {lacking}")
        scene, *others = (span.read(self.store) for span in pieces.spans)
        del scene["json"]  # The masks bring it, with what is said of them.
        members = {f"{pieces.key}.{suffix}": data for part in (scene, *others) for suffix, data in part.items()}
        assets = {row[column] for row in pieces.rows for column in ("foreground_id", "background_id")}
        return Outcome(members, list(pieces.rows), assets=tuple(assets))
