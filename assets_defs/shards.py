"""Partitioned assets, a partition for each group of shards: scenes, their masks, the maps, and the join."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import (
    check,
    check_spec,
    class_weights_table,
    layer_metadata,
    mask_metadata,
    partition_metadata,
    picture,
)
from assets_defs.plan import LAST_HOLDS, Plan
from decoupage.maps.table import MAPS
from pipelines import checklists, checks, index_rows
from pipelines.index_rows import IndexRows
from pipelines.maps.stage import MapStage
from pipelines.previews import ManifestTiles, map_tiles, mask_tiles, scene_tiles, shard_preview
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import Report, Stage

OWNERS = ["team:data"]
ASSETS = {name: row.title.replace(" ", "_") for name, row in MAPS.items()}
STAND_INS = {
    "felzenszwalb": " `felzenszwalb` regions, which have no classes, stand in for SegFormer.",
    "dark_channel": " The `dark_channel` haze prior stands in for Depth-Anything-V2.",
}


def shard_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The assets from scenes over masks and maps to shards."""
    return [_scenes(plan), _masks(plan), *(_maps(plan, stage) for stage in plan.factory.maps.values()), _shards(plan)]


def _by_partition(plan: Plan, keys: Iterable[str], report: Report) -> Iterator[tuple[str, Report]]:
    """(partition, the part of the report that is on its shards)."""
    for key in keys:
        shards = plan.groups[key]
        manifests = {shard: report.shards[shard] for shard in shards}
        yield key, replace(report, shards=manifests, made=report.made.intersection(shards))


def _show(context: dg.AssetExecutionContext, plan: Plan, stage: Stage, report: Report, tiles: ManifestTiles) -> None:
    """Attach to each partition its own figures and a small picture of its first shard that holds anything."""
    store = plan.factory.store
    # The rows of all shards are known where the run took all; to read the manifests of the others would take long.
    num_rows = report.num_rows if len(report.shards) == len(stage.shards()) else None
    for key, part in _by_partition(plan, context.partition_keys, report):
        context.add_asset_metadata(partition_metadata(part, store, plan.contents(key), num_rows), partition_key=key)
        shown = next((shard for shard, manifest in part.shards.items() if manifest.num_items), None)
        whole = read_manifest(store, stage.name, shown) if shown else None
        if whole is not None:
            preview = {"preview": picture(shard_preview(store, whole, tiles))}
            context.add_asset_metadata(preview, partition_key=key)


def _scenes(plan: Plan) -> dg.AssetsDefinition:
    factory = plan.factory

    @asset(
        deps=["foreground_library", "background_library"],
        partitions_def=plan.partitions,
        backfill_policy=plan.backfill_policy,
        metadata={LAST_HOLDS: plan.last_contents},
        group_name="scenes",
        owners=OWNERS,
        kinds={"webdataset"},
        code_version=plan.code_version(factory.scenes),
        check_specs=[check_spec("scenes", name, function) for name, function in checklists.SCENES.items()],
        description="Layered scenes: a background with one to three foregrounds that may hide each other, each "
        "complete also where it is hidden. The same recipe gives the same bytes.",
    )
    def scenes(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Writes these partitions. Raises BadSetup: there is no library, or the folder has another recipe."""
        report = factory.run(factory.scenes, plan.shards_of(context.partition_keys))
        _show(context, plan, factory.scenes, report, scene_tiles)
        rows = IndexRows()
        planned = {"size_class_weights": class_weights_table(factory.scenes.task.pool.class_weights)}
        for key, part in _by_partition(plan, context.partition_keys, report):
            found = checks.rows_of(factory.store, part, index_rows.SCENES)
            context.add_asset_metadata(planned | layer_metadata(found), partition_key=key)
            rows += found
        results = checklists.check_scenes(report, rows, factory, factory.scenes)
        named = [check(name, result) for name, result in results.items()]
        return dg.MaterializeResult(check_results=named)

    return scenes


def _masks(plan: Plan) -> dg.AssetsDefinition:
    factory, profile = plan.factory, plan.profile

    @asset(
        deps=["scenes"],
        partitions_def=plan.partitions,
        backfill_policy=plan.backfill_policy,
        metadata={LAST_HOLDS: plan.last_contents},
        group_name="masks",
        owners=OWNERS,
        kinds={"png"},
        code_version=plan.code_version(factory.masks),
        check_specs=[check_spec("imperfect_masks", name, function) for name, function in checklists.MASKS.items()],
        description="For each layer a mask of its visible part as a person or a segmenter might give it, "
        "with one of fifteen errors. Another mix of errors remakes these and the shards, not the scenes.",
    )
    def imperfect_masks(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Writes one mask per layer. Raises BadSetup: scenes are not there, or the folder has another recipe."""
        report = factory.run(factory.masks, plan.shards_of(context.partition_keys))
        _show(context, plan, factory.masks, report, partial(mask_tiles, factory.scenes))
        rows = IndexRows()
        for key, part in _by_partition(plan, context.partition_keys, report):
            found = checks.rows_of(factory.store, part)
            context.add_asset_metadata(mask_metadata(found), partition_key=key)
            rows += found
        results = checklists.check_masks(rows, profile)
        return dg.MaterializeResult(check_results=[check(name, result) for name, result in results.items()])

    return imperfect_masks


def _maps(plan: Plan, stage: MapStage) -> dg.AssetsDefinition:
    name, description = ASSETS[stage.name], MAPS[stage.name].about
    model = getattr(getattr(plan.profile.maps, stage.name), "model", "")

    @asset(
        name=name,
        deps=["scenes"],
        partitions_def=plan.partitions,
        backfill_policy=plan.backfill_policy,
        metadata={LAST_HOLDS: plan.last_contents},
        group_name="maps",
        owners=OWNERS,
        kinds={"png"},
        code_version=plan.code_version(stage),
        description=description + STAND_INS.get(model, ""),
    )
    def maps(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Writes one map per scene. Raises BadSetup: scenes, weights or a device are not there."""
        report = plan.factory.run(stage, plan.shards_of(context.partition_keys))
        _show(context, plan, stage, report, map_tiles)
        return dg.MaterializeResult()

    return maps


def _shards(plan: Plan) -> dg.AssetsDefinition:
    factory = plan.factory

    @asset(
        deps=["scenes", "imperfect_masks", *ASSETS.values()],
        partitions_def=plan.partitions,
        backfill_policy=plan.backfill_policy,
        metadata={LAST_HOLDS: plan.last_contents},
        group_name="shards",
        owners=OWNERS,
        kinds={"webdataset"},
        code_version=plan.code_version(factory.shards),
        check_specs=[check_spec("shards", name, function) for name, function in checklists.SHARDS.items()],
        description="Training shards: scenes, masks and maps side by side in one tar, with a parquet index (a row per "
        "layer) and a manifest that is written last. Each is verified before anything is built on it.",
    )
    def shards(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Writes shards, index and manifest. Raises BadSetup: a source is not there, or of another recipe."""
        report = factory.run(factory.shards, plan.shards_of(context.partition_keys))
        results = checklists.check_shards(report, factory)
        _show(context, plan, factory.shards, report, scene_tiles)
        return dg.MaterializeResult(check_results=[check(name, result) for name, result in results.items()])

    return shards
