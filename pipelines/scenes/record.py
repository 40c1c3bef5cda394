"""The scene's json and its rows in the parquet index: the names under which provenance and measures are stored.

What is said of imperfect masks is added when they are drawn (`pipelines.masks.stage`); its names stand here too.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipelines.scenes.compose import Composed, touches_border
from pipelines.scenes.draws import Draw
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.plan import LayerPlan
from pipelines.scenes.sharpness import sharpness_of_layers

_FOREGROUND = ("id", "source", "kind", "origin", "sha256", "licence", "attribution", "category", "prompt", "object")
_BACKGROUND = ("id", "source", "origin", "sha256", "rotation_deg_ccw", "licence", "attribution")

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("layer", pa.int64()),  # 0 = lowest
        ("num_layers", pa.int64()),
        ("difficulty", pa.string()),  # easy | medium | hard
        ("box", pa.list_(pa.int64())),  # left, top, right, bottom on the canvas
        ("scale", pa.float64()),  # placed size / library size
        ("flipped", pa.bool_()),
        ("rotation_deg", pa.float64()),
        ("size_class", pa.string()),  # small | medium | large
        ("amodal_area_px", pa.float64()),
        ("visible_area_px", pa.float64()),
        ("occluded_fraction", pa.float64()),
        ("occlusion_level", pa.string()),  # none | light | medium | heavy, as drawn
        ("border_contact", pa.bool_()),
        ("placement", pa.string()),  # supported | free: the rule that chose its place
        ("support", pa.string()),  # ground | water | sky | surface | hang; empty where it is free
        ("height_ratio", pa.float64()),  # its height / that of its object there; null where that is not known
        ("semi_transparent", pa.bool_()),
        ("sharpness", pa.float64()),  # variance of the Laplacian inside what shows of it; null = too small to tell
        ("sharpness_around", pa.float64()),  # the same in a ring around it
        ("foreground_id", pa.string()),
        ("foreground_source", pa.string()),
        ("foreground_kind", pa.string()),
        ("foreground_origin", pa.string()),  # the photograph or (prompt, seed) that it was taken from
        ("foreground_sha256", pa.string()),
        ("completeness", pa.string()),
        ("category", pa.string()),
        ("object", pa.string()),  # a noun of pipelines/library/objects.csv; empty where it is not known
        ("prompt", pa.string()),
        ("foreground_licence", pa.string()),
        ("foreground_attribution", pa.string()),
        ("mask_error", pa.string()),
        ("mask_iou", pa.float64()),
        ("mask_area_px", pa.int64()),
        ("mask_area_ratio", pa.float64()),  # mask_area_px / pixels where the layer shows
        ("background_id", pa.string()),
        ("background_source", pa.string()),
        ("background_origin", pa.string()),  # crops of one photograph have the same
        ("background_sha256", pa.string()),
        ("background_rotation_deg_ccw", pa.int64()),
        ("background_crop", pa.list_(pa.int64())),  # left, top, side of the upright photograph
        ("background_enlargement", pa.float64()),  # side of the canvas / side of the crop
        ("background_licence", pa.string()),
        ("background_attribution", pa.string()),
        ("attempt", pa.int64()),  # the draw that was kept; 0 = the first
        ("draws", pa.list_(pa.string())),  # plan@sha256[:12], then id@ of every asset drawn, rejected too
    ]
)
"""One row per layer of a finished shard. The json holds the same values: scene-wide ones at the top, the others under
`layers`. A layer that casts a shadow has its `shadow_box` in the json alone."""
MASK_COLUMNS = ("mask_error", "mask_iou", "mask_area_px", "mask_area_ratio")
SCENES_SCHEMA = pa.schema([column for column in SCHEMA if column.name not in MASK_COLUMNS])
"""The same before masks are drawn."""


def scene_record(
    parts: SceneParts,
    plan: Sequence[LayerPlan],
    draw: Draw,
    composed: Composed,
) -> dict[str, Any]:
    """The json of a scene, but for what the stage knows (recipe, seed, attempt, hash of the composite)."""
    layers = []
    sharpness = sharpness_of_layers(parts)
    for i, layer in enumerate(plan):
        pose, source, box = composed.poses[i], draw.foregrounds[i], parts.layers[i].box
        placement = composed.placements[i]
        amodal, visible = parts.areas(i)
        layers.append(
            {
                "box": list(box),
                "scale": pose.scale,
                "flipped": pose.flipped,
                "rotation_deg": pose.rotation_deg,
                "size_class": layer.size_class,
                "amodal_area_px": amodal,
                "visible_area_px": visible,
                "occluded_fraction": parts.occluded_fraction(i),
                "occlusion_level": layer.occlusion,
                "border_contact": touches_border(box, parts.size[0]),
                "placement": placement.rule,
                "support": placement.support,
                "height_ratio": placement.height_ratio,
                "semi_transparent": source.semi_transparent,
                "sharpness": sharpness[i][0],
                "sharpness_around": sharpness[i][1],
                "completeness": source.completeness,
                "foreground": {name: getattr(source, name) for name in _FOREGROUND},
            }
        )
        if shadow := parts.layers[i].shadow:
            layers[i]["shadow_box"] = list(shadow.box)
    background = {name: getattr(draw.background, name) for name in _BACKGROUND}
    crop = list(composed.background_crop)
    background |= {"crop": crop, "enlargement": round(parts.size[0] / crop[2], 4)}
    return {"key": parts.key, "difficulty": _difficulty(layers), "background": background, "layers": layers}


def scene_rows(record: dict[str, Any], draws: list[str]) -> list[dict[str, Any]]:
    """The rows of the parquet index that say the same as a scene's json."""
    background = record["background"]
    scene = {
        "key": record["key"],
        "num_layers": len(record["layers"]),
        "difficulty": record["difficulty"],
        "attempt": record["attempt"],
        "draws": draws,
    } | {f"background_{name}": background[name] for name in (*_BACKGROUND, "crop", "enlargement")}
    rows = []
    for i, layer in enumerate(record["layers"]):
        source = layer["foreground"]
        plain = {name: value for name, value in layer.items() if name not in ("foreground", "shadow_box")}
        told = {
            name if name in ("category", "prompt", "object") else f"foreground_{name}": source[name]
            for name in _FOREGROUND
        }
        rows.append(scene | {"layer": i} | plain | told)
    return rows


def _difficulty(layers: Sequence[dict[str, Any]]) -> str:
    """hard: something is heavily hidden; medium: hidden, cut by the border or small; easy: the rest."""
    if any(layer["occlusion_level"] == "heavy" for layer in layers):
        return "hard"
    plain = all(
        layer["occlusion_level"] == "none" and not layer["border_contact"] and layer["size_class"] != "small"
        for layer in layers
    )
    return "easy" if plain else "medium"
