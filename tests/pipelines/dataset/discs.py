"""A few hand-made scenes: coloured discs on gradients, masks spoilt by hand."""

import numpy as np

from decoupage.fingerprint import canonical_json
from decoupage.images.codecs import encode_gray, encode_jpeg, encode_mask, encode_webp
from decoupage.randomness import generator
from pipelines.scenes.parts import Layer, SceneParts, area_ratio, mask_iou
from pipelines.scenes.record import SCHEMA
from pipelines.stages.manifest import Manifest
from pipelines.stages.run import Outcome

SIZE_PX = 96
NUM_SCENES = 10
SCENES_PER_SHARD = 4
ERRORS = ("none", "dilation", "box", "missing_part")
LICENCES = {"real": "CC-BY-NC-SA-4.0", "generated": "CC0-1.0"}


def disc(radius: int, colour: tuple[int, int, int], alpha: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    rgba = np.zeros((2 * radius + 1, 2 * radius + 1, 4), np.uint8)
    rgba[..., :3] = colour
    rgba[..., 3] = np.clip((radius - np.hypot(x, y) + 0.5) * alpha, 0, alpha)
    return rgba


def level_of(occluded: float) -> str:
    return next(
        name for name, top in (("none", 0.01), ("light", 0.2), ("medium", 0.45), ("heavy", 2)) if occluded <= top
    )


def spoilt(mask: np.ndarray, error: str) -> np.ndarray:
    if error == "dilation":
        return np.roll(mask, 3, 1) | np.roll(mask, -3, 1) | mask
    if error == "box":
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = np.zeros_like(mask)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        return box
    if error == "missing_part":
        half = mask.copy()
        half[:, int(np.flatnonzero(mask.any(0)).mean()) :] = False
        return half
    return mask


def make_parts(key: str) -> SceneParts:
    rng = generator(1, "fixture", key)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    tint = rng.integers(60, 200, 3)
    background = np.dstack([tint[0] * y, tint[1] * x, tint[2] * (1 - y)]).astype(np.uint8)
    layers = []
    for i in range(1 + int(key) % 3):
        radius = int(rng.integers(12, 22))
        colour = tuple(int(c) for c in rng.integers(30, 255, 3))
        left, top = (int(v) for v in rng.integers(2, SIZE_PX - 2 * radius - 3, 2))
        box = (left, top, left + 2 * radius + 1, top + 2 * radius + 1)
        layers.append(Layer(disc(radius, colour, 120 if i == 2 else 255), box))
    return SceneParts(key, background, tuple(layers), {})


def scene(key: str) -> Outcome:
    parts = make_parts(key)
    members = {f"{key}.background.jpg": encode_jpeg(parts.background)}
    rows, entries = [], []
    for i, layer in enumerate(parts.layers):
        error = ERRORS[(int(key) + i) % len(ERRORS)]
        truth = parts.visible_mask(i)
        mask = spoilt(truth, error)
        kind = ("real", "generated")[(int(key) + i) % 2]
        amodal, visible = parts.areas(i)
        row = {
            "key": key,
            "layer": i,
            "num_layers": len(parts.layers),
            "difficulty": ("easy", "medium", "hard")[len(parts.layers) - 1],
            "box": list(layer.box),
            "scale": 1.0,
            "flipped": False,
            "rotation_deg": 0.0,
            "size_class": "small" if amodal < 800 else "medium",
            "amodal_area_px": amodal,
            "visible_area_px": visible,
            "occluded_fraction": parts.occluded_fraction(i),
            "occlusion_level": level_of(parts.occluded_fraction(i)),
            "border_contact": False,
            "semi_transparent": i == 2,
            "sharpness": 40.0 if i < 2 else None,
            "sharpness_around": 80.0,
            "foreground_id": f"{kind}-{(int(key) + i) % 5}",
            "foreground_source": "mulan" if kind == "real" else "rendered",
            "foreground_kind": kind,
            "foreground_origin": f"{kind}-{(int(key) + i) % 5}",
            "foreground_sha256": "ab" * 32,
            "completeness": "complete" if kind == "generated" else "unknown",
            "category": ("cup", "bird", "vase")[int(key) % 3],
            "prompt": "",
            "foreground_licence": LICENCES[kind],
            "foreground_attribution": 'A. Name, "Discs", 2020',
            "mask_error": error,
            "mask_iou": mask_iou(mask, truth),
            "mask_area_px": int(mask.sum()),
            "mask_area_ratio": area_ratio(mask, truth),
            "background_id": f"photo-{int(key) % 3}",
            "background_source": "packaged",
            "background_origin": f"photo-{int(key) % 3}",
            "background_sha256": "cd" * 32,
            "background_rotation_deg_ccw": 0,
            "background_crop": [0, 0, SIZE_PX],
            "background_enlargement": 1.0,
            "background_licence": "CC-BY-2.0",
            "background_attribution": "B. Name",
            "attempt": 0,
            "draws": [],
        }
        rows.append(row)
        measures = ("box", "mask_error", "mask_iou", "occluded_fraction")
        entries.append({name: row[name] for name in measures} | {"foreground": {"category": row["category"]}})
        members[f"{key}.layer{i}.webp"] = encode_webp(layer.rgba)
        members[f"{key}.mask{i}.png"] = encode_mask(mask)
    members[f"{key}.json"] = canonical_json({"key": key, "layers": entries})
    gray = parts.composite.mean(axis=2).astype(np.uint8)
    members[f"{key}.edges.png"] = encode_mask(np.abs(np.diff(gray.astype(int), axis=1, prepend=0)) > 20)
    members[f"{key}.segmentation.png"] = encode_gray(gray[::2, ::2] // 64)
    members[f"{key}.depth.png"] = encode_gray(gray[::2, ::2].astype(np.uint16) * 257)
    return Outcome(members, rows, counts={"rejected.no_room": int(key) % 3, "attempts": 1 + int(key) % 3})


class FixtureStage:
    """The scenes above; under the name `scenes` for its tallies, under `shards` for everything else."""

    schema = SCHEMA
    recipe = {"seed": 1}
    layout = {"scenes_per_shard": SCENES_PER_SHARD}
    task = staticmethod(scene)

    def __init__(self, name: str) -> None:
        self.name = name

    def shards(self) -> list[str]:
        return [f"{i:05d}" for i in range(-(-NUM_SCENES // SCENES_PER_SHARD))]

    def items(self, shard: str) -> list[tuple[str, str]]:
        first = int(shard) * SCENES_PER_SHARD
        keys = [f"{i:08d}" for i in range(first, min(first + SCENES_PER_SHARD, NUM_SCENES))]
        return [(key, key) for key in keys]

    def inputs(self, shard: str) -> dict[str, str]:
        return {}

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        return True
