"""Which checks follow which step: the assets and `decoupage scenes make` run these lists.

A list maps the name of a check to its function, whose first line of documentation describes it.
"""

from collections.abc import Callable, Collection
from typing import Any

from pipelines import checks, index_rows, scene_checks
from pipelines.checks import CheckResult
from pipelines.config import DataConfig
from pipelines.factory import Factory
from pipelines.library.catalogue import CatalogueReport, stored_catalogue
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.scenes.plan import LayerPlan
from pipelines.scenes.stage import ScenesStage
from pipelines.stages.run import Report

Checklist = dict[str, Callable[..., CheckResult]]
Results = dict[str, CheckResult]
Rows = Collection[dict[str, Any]]
SOURCE: Checklist = {"source_drops": checks.source_drops}
WARNINGS = frozenset({"enough_photographs"})
"""Checks that only warn."""
FOREGROUND_LIBRARY: Checklist = {
    "enough_foregrounds": checks.library_size,
    "alpha_coverage": checks.alpha_coverage,
}
BACKGROUND_LIBRARY: Checklist = {"enough_backgrounds": checks.library_size}
SCENES: Checklist = {
    "few_drops": checks.scene_drops,
    "one_to_three_layers": checks.layers_per_scene,
    "occlusion_recomputed": checks.occlusion_recomputed,
    "counts_against_manifest": checks.counts_against_manifest,
    "as_planned": scene_checks.as_planned,
    "enlarged_within_limits": scene_checks.enlarged_within_limits,
    "sharpness_alike": scene_checks.sharpness_alike,
    "placed_freely": scene_checks.placed_freely,
    "supports_recomputed": scene_checks.supports_recomputed,
}
MASKS: Checklist = {"mask_overlap": checks.mask_overlap}
SHARDS: Checklist = {"verified": checks.verified}


def check_source(report: Report, config: DataConfig) -> Results:
    """`SOURCE` over the shards of one source."""
    return {"source_drops": checks.source_drops(report, config.checks)}


def check_foreground_library(library: CatalogueReport[ForegroundRecord], config: DataConfig) -> Results:
    """`FOREGROUND_LIBRARY` over the catalogue."""
    results = (checks.library_size(library, config.checks), checks.alpha_coverage(library, config.gates))
    return dict(zip(FOREGROUND_LIBRARY, results, strict=True))


def check_background_library(library: CatalogueReport[BackgroundRecord], config: DataConfig) -> Results:
    """`BACKGROUND_LIBRARY` over the catalogue."""
    return {"enough_backgrounds": checks.library_size(library, config.checks)}


def check_scenes(report: Report, rows: Rows, factory: Factory, stage: ScenesStage) -> Results:
    """`SCENES` over shards of a stage of scenes, whose index has these rows."""
    limits, config = factory.config.checks, stage.scenes
    # Few plans differ, so that one object serves many scenes.
    known: dict[tuple[LayerPlan, ...], tuple[LayerPlan, ...]] = {}
    drawn = ((key, stage.task.pool.plan(key)) for shard in report.shards for key in stage.keys(shard))
    plans = {key: known.setdefault(plan, plan) for key, plan in drawn}
    results = (
        checks.scene_drops(report, limits),
        checks.layers_per_scene(rows),
        checks.occlusion_recomputed(factory.store, report),
        checks.counts_against_manifest(factory.store, report),
        scene_checks.as_planned(rows, plans, config, limits),
        scene_checks.enlarged_within_limits(rows, config),
        scene_checks.sharpness_alike(rows, limits),
        scene_checks.placed_freely(rows, config.placement),
        scene_checks.supports_recomputed(factory.store, report),
    )
    return dict(zip(SCENES, results, strict=True))


def check_masks(rows: Rows, config: DataConfig) -> Results:
    """`MASKS` over shards of imperfect masks, whose index has these rows."""
    return {"mask_overlap": checks.mask_overlap(rows, config.masks)}


def check_shards(report: Report, factory: Factory) -> Results:
    """`SHARDS` over finished shards."""
    return {"verified": checks.verified(factory.store, report, factory.engine)}


def check_reports(factory: Factory, reports: list[Report]) -> Results:
    """All lists over what `Factory.make_shards` made: `step: check` -> result."""
    config, store = factory.config, factory.store
    layouts = [factory.layouts] if factory.layouts else []
    pairs = [factory.pairs] if factory.pairs else []
    sources = {stage.name for stage in (*factory.foreground_sources, factory.backgrounds, *layouts, *pairs)}
    found: dict[str, Results] = {
        "foreground library": check_foreground_library(stored_catalogue(store, ForegroundRecord), config),
        "background library": check_background_library(stored_catalogue(store, BackgroundRecord), config),
    }
    for report in reports:
        if report.stage in sources:
            found[report.stage] = check_source(report, config)
            if report.stage == factory.backgrounds.name:
                found[report.stage]["enough_photographs"] = checks.enough_photographs(report, None, config)
        elif report.stage == factory.scenes.name:
            rows = checks.rows_of(store, report, index_rows.SCENES)
            found[report.stage] = check_scenes(report, rows, factory, factory.scenes)
        elif report.stage == factory.masks.name:
            found[report.stage] = check_masks(checks.rows_of(store, report), config)
        elif report.stage == factory.shards.name:
            found[report.stage] = check_shards(report, factory)
    return {f"{step}: {name}": result for step, results in found.items() for name, result in results.items()}
