"""The scenes stage: from a key to the stored members of a scene, deterministic in recipe, key and drawn assets."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import Recipe, canonical_json, fingerprint
from decoupage.images.codecs import encode_gray, encode_webp
from pipelines.config import ScenesConfig
from pipelines.library.assets import Assets
from pipelines.library.records import Split
from pipelines.scenes.compose import Composed, compose
from pipelines.scenes.draws import Draw, Pool
from pipelines.scenes.parts import pixels_sha256
from pipelines.scenes.placement import Rejected
from pipelines.scenes.plan import LayerPlan
from pipelines.scenes.record import SCENES_SCHEMA, scene_record, scene_rows
from pipelines.stages.manifest import Manifest
from pipelines.stages.run import Outcome
from pipelines.stages.store import Store

VERSION = 6
"""Raised when the code changes the bytes of a scene."""
OF_THE_DRAWS = frozenset({"no_scene", "small_library"})
"""Reasons that follow from recipe and library alone: the scene would be dropped again."""


@dataclass
class SceneMaker:
    """Makes one scene. Sent to every worker once; reads the library there."""

    store: Store
    photographs: Store
    scenes: ScenesConfig
    recipe_fingerprint: str
    split: Split

    @cached_property
    def pool(self) -> Pool:
        """The library's part that this split draws from."""
        return Pool.read(self.store, self.scenes, self.split)

    @cached_property
    def _assets(self) -> Assets:
        return Assets(self.store, self.photographs)

    def __getstate__(self) -> dict[str, Any]:
        # The library is large: each worker reads its own.
        return {key: value for key, value in self.__dict__.items() if key not in ("pool", "_assets")}

    def __call__(self, key: str) -> Outcome:
        """Draw attempts until one meets the plan.

        Raises:
            BadItem: `no_scene` when no attempt of `scenes.max_attempts` does, `small_library` when the library
                cannot fill the scene.
        """
        plan = self.pool.plan(key)
        rejected: Counter[str] = Counter()
        for attempt in range(self.scenes.max_attempts):
            draw = self.pool.draw(key, plan, attempt)
            if draw is None:
                rejected["rejected.no_background"] += 1
                continue
            try:
                composed = compose(key, plan, draw, self.scenes, self._assets, attempt)
            except Rejected as rejection:
                rejected[f"rejected.{rejection.reason}"] += 1
                continue
            return self._outcome(key, plan, draw, composed, attempt, rejected)
        if rejected["rejected.no_background"] == self.scenes.max_attempts:
            raise BadItem(
                "small_library", f"the library lacks different photographs for {len(plan)} layers and background"
            )
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.most_common())
        raise BadItem("no_scene", f"no draw of {self.scenes.max_attempts} met the plan: {reasons}")

    def _outcome(
        self,
        key: str,
        plan: Sequence[LayerPlan],
        draw: Draw,
        composed: Composed,
        attempt: int,
        rejected: Counter[str],
    ) -> Outcome:
        parts = composed.parts
        members = {f"{key}.background.jpg": composed.background_jpeg}
        members |= {f"{key}.layer{i}.webp": encode_webp(layer.rgba) for i, layer in enumerate(parts.layers)}
        shadows = {i: layer.shadow for i, layer in enumerate(parts.layers) if layer.shadow}
        members |= {f"{key}.shadow{i}.png": encode_gray(shadow.opacity) for i, shadow in shadows.items()}
        record = scene_record(parts, plan, draw, composed)
        record |= {
            "recipe": self.recipe_fingerprint,
            "seed": self.scenes.seed,
            "attempt": attempt,
            "size_px": self.scenes.size_px,
            "composite_sha256": pixels_sha256(parts.composite),
        }
        members[f"{key}.json"] = canonical_json(record)
        rows = scene_rows(record, self.pool.trail(key, plan, attempt))
        assets = (draw.background.id, *(foreground.id for foreground in draw.foregrounds))
        return Outcome(members, rows, counts=dict(rejected) | {"attempts": attempt + 1}, assets=assets)


@dataclass
class ScenesStage:
    """Scenes of one split, in shards of consecutive keys."""

    store: Store
    photographs: Store
    scenes: ScenesConfig
    split: Split = "train"
    name: str = "scenes"
    schema = SCENES_SCHEMA

    @property
    def recipe(self) -> Recipe:
        """All parameters and the seed; not the library, whose changes each scene's draws show."""
        values = self.scenes.model_dump(mode="json", exclude={"num_scenes", "scenes_per_shard"})
        if self.scenes.cutouts_share is None:  # As in recipes from before there were own cutouts.
            del values["cutouts_share"]
        return {"version": VERSION, "split": self.split, "scenes": values}

    @property
    def layout(self) -> Recipe:
        """How many scenes a shard takes."""
        return {"scenes_per_shard": self.scenes.scenes_per_shard}

    @cached_property
    def task(self) -> SceneMaker:
        """See SceneMaker."""
        made_by = fingerprint(self.recipe)
        return SceneMaker(self.store, self.photographs, self.scenes, made_by, self.split)

    def shards(self) -> list[str]:
        """`00000`, `00001`, ..."""
        return [f"{i:05d}" for i in range(self.scenes.num_shards)]

    def keys(self, shard: str) -> list[str]:
        """The keys of a shard's scenes, eight digits each."""
        first = int(shard) * self.scenes.scenes_per_shard
        last = min(first + self.scenes.scenes_per_shard, self.scenes.num_scenes)
        return [f"{i:08d}" for i in range(first, last)]

    def items(self, shard: str) -> list[tuple[str, str]]:
        """A scene's item is its key."""
        return [(key, key) for key in self.keys(shard)]

    def inputs(self, shard: str) -> dict[str, str]:
        """The keys it is to hold and the library it draws from."""
        keys = self.keys(shard)
        return {"keys": f"{keys[0]}-{keys[-1]}", "library": self.task.pool.version}

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        """True when the shard holds its keys, and the draws of all scenes can be read and are unchanged.

        A scene that was lost to an asset that could not be read is made once the asset is restored.
        """
        if manifest.inputs["keys"] != inputs["keys"]:
            return False
        if any(drop["reason"] not in OF_THE_DRAWS for drop in manifest.drops):
            return False
        if manifest.inputs["library"] == inputs["library"]:
            return True
        # A scene that could not be made has no recorded draws; a changed library may let it be made.
        return not manifest.drops and self._draws_hold(manifest, self.task.pool)

    def moved_without(self, manifests: Sequence[Manifest], ids: Collection[str]) -> list[Manifest]:
        """The finished shards with a scene that would draw otherwise if these assets were not in the library."""
        if not manifests:
            return []
        try:
            pool = Pool.read(self.store, self.scenes, self.split, without=ids)
        except BadSetup:
            return []  # The next run stops with that sentence, and makes nothing again.
        return [manifest for manifest in manifests if not self._draws_hold(manifest, pool)]

    def _draws_hold(self, manifest: Manifest, pool: Pool) -> bool:
        columns = ["key", "layer", "attempt", "draws"]
        table = self.store.read_table(f"{self.name}/{manifest.shard}.parquet", columns)
        return all(
            row["draws"] == pool.trail(row["key"], pool.plan(row["key"]), row["attempt"])
            for row in table.to_pylist()
            if row["layer"] == 0
        )
