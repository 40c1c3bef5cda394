"""Checks of complete scenes: made as planned, no picture enlarged too much, layers on what carries them.

Plain functions, as in `pipelines/checks.py`.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from statistics import median
from typing import Any

from pipelines.checks import SCENES_RECOMPUTED, CheckResult, whole_manifests
from pipelines.config import ChecksConfig, PlacementConfig, ScenesConfig
from pipelines.library.catalogue import find_records
from pipelines.library.layout import Layout
from pipelines.library.objects import objects
from pipelines.library.records import BackgroundRecord
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.plan import LayerPlan
from pipelines.scenes.read import read_members, scene_keys
from pipelines.scenes.sharpness import resolution_of
from pipelines.scenes.terrain import Terrain
from pipelines.stages.run import Report
from pipelines.stages.store import Store

AREA_TOLERANCE = 0.02
"""Relative: resampling a cutout changes its area a little."""
CUT_TOLERANCE = 0.05
"""The same where the canvas cuts it: how much stays inside is settled on a grid of 64 cells."""
ENLARGEMENT_TOLERANCE = 0.001
"""Absolute: scales and crops are rounded."""
Rows = Collection[Mapping[str, Any]]


def as_planned(
    rows: Rows, plans: Mapping[str, Sequence[LayerPlan]], scenes: ScenesConfig, checks: ChecksConfig
) -> CheckResult:
    """Scenes are as planned: dropped ones distort no distribution, and every layer has its planned measures.

    Layers per scene, occlusion levels, size classes, kinds and border contact have nearly equal shares in the plans of
    the scenes that were made as in the plans of all. A made layer's area and occluded fraction are in the ranges
    planned for it, and only what was to touch the border does. A layer that touches the border is cut there, so what is
    on the canvas of it is its area as made: at least `scenes.border.inside` of the planned range. A cutout that its own
    photograph cut lies on the border whatever its plan says.

    Args:
        plans: of all scenes that should be there, by key.
    """
    made = {str(row["key"]) for row in rows}
    planned, kept = _shares(plans.values()), _shares(plans[key] for key in sorted(made))
    bent = {name: kept.get(name, 0.0) - share for name, share in planned.items()} if made else {}
    worst = max(bent, key=lambda name: abs(bent[name]), default="")
    difference = abs(bent.get(worst, 0.0))
    limit = checks.max_plan_difference
    bad = [f"{row['key']}/{row['layer']}: {why}" for row in rows if (why := _off_plan(row, plans, scenes))]
    sentence = f"shares of {len(made)} made scenes differ from those of {len(plans)} plans by at most {difference:.3f}"
    sentence += f" ({worst}); {limit} allowed by checks.max_plan_difference" if worst else ""
    sentence += f"; {len(bad)} of {len(rows)} layers are off their plan" + (f", e.g. {bad[0]}" if bad else "")
    return CheckResult(difference <= limit and not bad, sentence, {"difference": round(difference, 4), "bad": bad[:20]})


def layers_as_in(rows: Rows, plans: Collection[Sequence[LayerPlan]], checks: ChecksConfig) -> CheckResult:
    """Scenes have as many layers as those of training, except for scenes that could not be made.

    Args:
        plans: of the scenes of training.
    """
    compared = compare_layers(rows, plans)
    difference = max(abs(line["share"] - line["in_training"]) for line in compared)
    shown = ", ".join(f"{line['share']:.1%} have {line['layers']} ({line['in_training']:.1%})" for line in compared)
    sentence = f"of the scenes (of those planned for training) {shown}; the largest difference is {difference:.3f}, "
    sentence += f"{checks.max_plan_difference} allowed by checks.max_plan_difference"
    return CheckResult(difference <= checks.max_plan_difference, sentence, {"difference": round(difference, 4)})


def compare_layers(rows: Rows, plans: Collection[Sequence[LayerPlan]]) -> list[dict[str, Any]]:
    """A line for each number of layers: the share of made scenes that have so many, and of plans."""
    made = Counter(row["num_layers"] for row in rows if row["layer"] == 0)
    planned = Counter(map(len, plans))
    return [
        {"layers": num, "share": made[num] / max(1, made.total()), "in_training": planned[num] / max(1, len(plans))}
        for num in sorted({*made, *planned})
    ]


def placed_freely(rows: Rows, placement: PlacementConfig) -> CheckResult:
    """No more layers are placed without a support than the profile plans, apart from chance (three standard errors)."""
    share = sum(row["placement"] == "free" for row in rows) / max(1, len(rows))
    planned = 1.0 if placement.kind == "free" else placement.free_share
    limit = planned + 3 * math.sqrt(planned * (1 - planned) / max(1, len(rows)))
    sentence = f"{share:.1%} of {len(rows)} layers are placed freely, at most {limit:.1%} for {planned:.0%} planned"
    return CheckResult(share <= limit, sentence, {"share": round(share, 4)})


def supports_recomputed(store: Store, report: Report) -> CheckResult:
    """A layer placed by its support lies on it, by alpha and the photograph's layout (some scenes of each shard)."""
    scenes = [
        SceneParts.decode(key, read_members(store, manifest, key))
        for _, manifest in whole_manifests(store, report)
        for key in islice(scene_keys(manifest), SCENES_RECOMPUTED)
    ]
    supported = [parts for parts in scenes if any(layer["support"] for layer in parts.record["layers"])]
    records = find_records(store, BackgroundRecord, {parts.record["background"]["id"] for parts in supported})
    bad = [parts.key for parts in supported if not _on_support(store, parts, records)]
    return CheckResult(not bad, f"{len(scenes) - len(bad)} of {len(scenes)} scenes recompute", {"bad": bad})


def _on_support(store: Store, parts: SceneParts, records: Mapping[str, BackgroundRecord]) -> bool:
    background = parts.record["background"]
    record = records.get(background["id"])
    if record is None:
        return False
    layout = Layout.decode(store.read_range(record.layout_tar, record.layout_offset, record.layout_num_bytes))
    left, top, side = background["crop"]
    terrain = Terrain.of(layout, record, (left, top, side))
    recorded = [(entry["support"], entry["foreground"]["object"]) for entry in parts.record["layers"]]
    return all(
        terrain.under(objects()[noun], layer.rgba[..., 3], layer.box, parts.size[0]) == support
        for layer, (support, noun) in zip(parts.layers, recorded, strict=True)
        if support
    )


def _shares(plans: Iterable[Sequence[LayerPlan]]) -> dict[str, float]:
    """Name of a property and its value -> share of the scenes or layers that have it."""
    scenes, layers = Counter[str](), Counter[str]()
    for plan in plans:
        scenes[f"layers {len(plan)}"] += 1
        for layer in plan:
            layers[f"occlusion {layer.occlusion}"] += 1
            layers[f"size {layer.size_class}"] += 1
            layers[f"kind {layer.kind}"] += 1
            layers[f"border contact {layer.border_contact}"] += 1
    num_layers = sum(count for name, count in layers.items() if name.startswith("size "))
    shares = {name: count / scenes.total() for name, count in scenes.items()}
    return shares | {name: count / num_layers for name, count in layers.items()}


def _off_plan(row: Mapping[str, Any], plans: Mapping[str, Sequence[LayerPlan]], scenes: ScenesConfig) -> str:
    """What a made layer has other than planned, or nothing."""
    plan = plans[row["key"]]
    if row["num_layers"] != len(plan):
        return f"{row['num_layers']} layers instead of {len(plan)}"
    layer = plan[row["layer"]]
    kind = row["foreground_kind"]
    if scenes.cutouts_share is not None and row["foreground_source"] == "cutouts":
        kind = "cutouts"
    said = (kind, row["size_class"], row["occlusion_level"])
    if said != (layer.kind, layer.size_class, layer.occlusion):
        return f"{said} instead of {(layer.kind, layer.size_class, layer.occlusion)}"
    if row["completeness"] != "cut" and row["border_contact"] != layer.border_contact:
        return f"border_contact {row['border_contact']}"
    low, high = scenes.size.shares(layer.size_class)
    low *= scenes.border.inside[0] * (1 - CUT_TOLERANCE) if row["border_contact"] else 1 - AREA_TOLERANCE
    area = row["amodal_area_px"] / scenes.size_px**2
    if not low <= area <= high * (1 + AREA_TOLERANCE):
        return f"area {area:.4f} of the canvas, not in [{low:.4f}, {high:.4f}]"
    low, high = getattr(scenes.occlusion, layer.occlusion)
    if not low <= row["occluded_fraction"] <= high:
        return f"occluded fraction {row['occluded_fraction']}, not in [{low}, {high}]"
    return ""


def enlarged_within_limits(rows: Rows, scenes: ScenesConfig) -> CheckResult:
    """No cutout and no background is enlarged beyond the profile's limits."""
    limits = {
        "scale": scenes.size.max_enlargement + ENLARGEMENT_TOLERANCE,
        "background_enlargement": scenes.max_background_enlargement + ENLARGEMENT_TOLERANCE,
    }
    bad = [f"{row['key']}/{row['layer']}" for row in rows if any(row[name] > limit for name, limit in limits.items())]
    largest = {name: max((row[name] for row in rows), default=0.0) for name in limits}
    sentence = (
        f"{len(bad)} of {len(rows)} layers are enlarged too much; largest factor of a cutout {largest['scale']:.2f} "
        f"(limit {scenes.size.max_enlargement}), of a background {largest['background_enlargement']:.2f} "
        f"(limit {scenes.max_background_enlargement})"
    )
    return CheckResult(not bad, sentence, {**largest, "bad": bad[:20]})


def sharpness_alike(rows: Rows, checks: ChecksConfig) -> CheckResult:
    """Objects are about as sharp as what surrounds them (median over the layers)."""
    ratios = resolution_of(rows)["sharpness_log2_ratio"]
    limit = checks.max_sharpness_log2_ratio
    middle = median(ratios) if ratios else 0.0
    sentence = (
        f"median log2 of sharpness inside / around {middle:.2f} over {len(ratios)} of {len(rows)} layers, within "
        f"+-{limit} wanted by checks.max_sharpness_log2_ratio"
    )
    passed = abs(middle) <= limit and (bool(ratios) or not rows)
    return CheckResult(passed, sentence, {"median_log2_ratio": round(middle, 3), "num_measured": len(ratios)})
