"""Small valid datasets for dry runs, benchmarks and tests: random ellipses on random blobs, without the scene engine.

They go through the real stage runner, maps and join, so that what is tested is what runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from decoupage.fingerprint import Recipe, canonical_json, fingerprint
from decoupage.images.alpha import alpha_box
from decoupage.images.codecs import decode_rgb, encode_jpeg, encode_webp
from decoupage.images.types import Mask, Rgb, Rgba
from decoupage.maps.choose import make_makers
from decoupage.randomness import generator
from pipelines.config import DepthConfig, MapsConfig, MasksConfig, SegmentationConfig
from pipelines.maps.stage import MapStage
from pipelines.masks.stage import MaskStage
from pipelines.scenes.parts import Layer, SceneParts, area_ratio, mask_iou, pixels_sha256
from pipelines.scenes.record import SCENES_SCHEMA, scene_rows
from pipelines.shards.join import ShardJoin
from pipelines.stages.engine import Engine, SerialEngine
from pipelines.stages.manifest import Manifest
from pipelines.stages.run import Outcome, Stage, run_stage
from pipelines.stages.store import Store


@dataclass
class FakeScenes:
    """A `scenes` stage whose scenes are random ellipses on random blobs."""

    num_scenes: int = 4
    scenes_per_shard: int = 2
    size_px: int = 64
    seed: int = 0
    name: str = "scenes"
    schema = SCENES_SCHEMA

    @property
    def recipe(self) -> Recipe:
        """Size and seed."""
        return {"version": 1, "scenes": {"size_px": self.size_px, "seed": self.seed}}

    @property
    def layout(self) -> Recipe:
        """How many scenes a shard takes."""
        return {"scenes_per_shard": self.scenes_per_shard}

    def shards(self) -> Sequence[str]:
        """`00000`, `00001`, ..."""
        return [f"{i:05d}" for i in range(-(-self.num_scenes // self.scenes_per_shard))]

    def items(self, shard: str) -> list[tuple[str, str]]:
        """A scene's item is its key."""
        first = int(shard) * self.scenes_per_shard
        return [(f"{i:08d}",) * 2 for i in range(first, min(first + self.scenes_per_shard, self.num_scenes))]

    def inputs(self, shard: str) -> dict[str, str]:
        """The keys it is to hold."""
        return {"keys": ",".join(key for key, _ in self.items(shard))}

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        """True while the keys are the same."""
        return manifest.inputs == inputs

    def task(self, key: str) -> Outcome:
        """One scene."""
        masked, jpeg = random_scene(key, self.size_px, self.seed)
        parts = replace(masked, imperfect_masks=())
        record = record_of(parts, fingerprint(self.recipe), self.seed)
        members = {f"{key}.background.jpg": jpeg}
        members |= {f"{key}.layer{i}.webp": encode_webp(layer.rgba) for i, layer in enumerate(parts.layers)}
        members[f"{key}.json"] = canonical_json(record)
        return Outcome(members, scene_rows(record, ["asset@0123456789ab"]))


def random_scene(key: str, size_px: int = 64, seed: int = 0) -> tuple[SceneParts, bytes]:
    """A scene of `int(key) % 3 + 1` layers, and its background's file."""
    rng = generator(seed, "fake-scene", key)
    jpeg = encode_jpeg(_blobs(rng, size_px))
    layers = []
    for _ in range(int(key) % 3 + 1):
        canvas = _ellipse(rng, size_px)
        left, top, right, bottom = alpha_box(canvas[..., 3])
        layers.append(Layer(canvas[top:bottom, left:right], (left, top, right, bottom)))
    parts = SceneParts(key, decode_rgb(jpeg), tuple(layers), {})
    masks = tuple(_spoil(parts.visible_mask(i), layer.box) for i, layer in enumerate(layers))
    return replace(parts, imperfect_masks=masks), jpeg


def _blobs(rng: np.random.Generator, size_px: int) -> Rgb:
    coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC), np.uint8)


def _ellipse(rng: np.random.Generator, size_px: int) -> Rgba:
    """A soft ellipse on the canvas, possibly cut by its border, filled with blobs."""
    y, x = np.mgrid[:size_px, :size_px]
    centre = rng.uniform(0.25, 0.75, 2) * size_px
    radius = rng.uniform(0.15, 0.35, 2) * size_px
    distance = np.hypot((x - centre[0]) / radius[0], (y - centre[1]) / radius[1])
    alpha = np.clip((1.2 - distance) * 5.0, 0.0, 1.0)
    return np.dstack([_blobs(rng, size_px), (alpha * 255).astype(np.uint8)])


def _spoil(mask: Mask, box: tuple[int, int, int, int]) -> Mask:
    """Grow a mask by a pixel; a layer that is wholly hidden gets its box's centre."""
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    grown[(box[1] + box[3]) // 2, (box[0] + box[2]) // 2] = True
    return grown


def record_of(parts: SceneParts, recipe: str, seed: int) -> dict[str, Any]:
    """The json of a fake scene: measured where it is measured, made up elsewhere; of masks where it has some."""
    licence = {"sha256": "0" * 64, "licence": "CC0", "attribution": "nobody"}
    layers = []
    for i, layer in enumerate(parts.layers):
        amodal, visible = parts.areas(i)
        layers.append(
            {
                "box": list(layer.box),
                "scale": 0.5,
                "flipped": i == 1,
                "rotation_deg": -3.25,
                "size_class": "medium",
                "amodal_area_px": amodal,
                "visible_area_px": visible,
                "occluded_fraction": parts.occluded_fraction(i),
                "occlusion_level": "light",
                "border_contact": False,
                "placement": "free",
                "support": "",
                "height_ratio": None,
                "semi_transparent": False,
                "sharpness": 40.0,
                "sharpness_around": 80.0,
                "completeness": "complete",
                "foreground": licence
                | {"id": f"fake-{i}", "source": "fake", "kind": "generated", "origin": f"fake-{parts.key}-{i}"}
                | {"category": "ellipse", "prompt": "", "object": ""},
            }
        )
    for i, mask in enumerate(parts.imperfect_masks):
        shown = parts.visible_mask(i)
        measured: dict[str, Any] = {"mask_iou": mask_iou(mask, shown), "mask_area_px": int(mask.sum())}
        layers[i] |= {"mask_error": "dilation", "mask_area_ratio": area_ratio(mask, shown)} | measured
    return {
        "key": parts.key,
        "recipe": recipe,
        "seed": seed,
        "attempt": 0,
        "difficulty": "medium",
        "size_px": parts.size[0],
        "composite_sha256": pixels_sha256(parts.composite),
        "background": licence
        | {"id": "blobs", "source": "fake", "origin": f"blobs-{parts.key}", "rotation_deg_ccw": 0}
        | {"crop": [0, 0, 64], "enlargement": parts.size[0] / 64},
        "layers": layers,
    }


SMALL_MAPS = MapsConfig(
    segmentation=SegmentationConfig(size_px=32, min_region_share=0.05), depth=DepthConfig(size_px=32)
)


def mask_stage(store: Store, scenes: FakeScenes, config: MasksConfig | None = None) -> MaskStage:
    """Imperfect masks of fake scenes."""
    return MaskStage(config or MasksConfig(), store, scenes)


def map_stages(store: Store, scenes: FakeScenes) -> list[MapStage]:
    """Edges, segmentation and depth of fake scenes."""
    return [MapStage(maker, store, scenes) for maker in make_makers(SMALL_MAPS)]


def build_dataset(root: Path | str, scenes: FakeScenes | None = None, engine: Engine | None = None) -> Store:
    """Scenes, masks, maps and joined shards under a root (folder or fsspec URL)."""
    store, scenes, engine = Store(str(root)), scenes or FakeScenes(), engine or SerialEngine()
    run_stage(scenes, store, engine)
    masks, maps = mask_stage(store, scenes), map_stages(store, scenes)
    followers: list[Stage] = [masks, *maps]
    for stage in followers:
        run_stage(stage, store, engine)
    run_stage(ShardJoin(store, scenes, masks, maps), store, engine)
    return store
