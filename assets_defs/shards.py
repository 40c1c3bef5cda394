"""Partitioned assets, one partition a shard: scenes, the three maps, and the join."""

from collections.abc import Sequence

import dagster as dg

from assets_defs.metadata import check, report_metadata, shard_metadata
from assets_defs.plan import POLICY, Plan
from pipelines import checks
from pipelines.checks import CheckResult
from pipelines.maps.stage import MapStage
from pipelines.shards.verify import verify
from pipelines.stage import Report

OWNERS = ["team:data"]
SCENE_CHECKS = ("few_drops", "one_to_three_layers", "occlusion_recomputed", "mask_overlap", "counts_against_manifest")
MAPS = {
    "edges": ("edge_maps", "Canny edges of the composite, 1 bit a pixel."),
    "segmentation": ("segmentation_maps", "Segmentation of the composite, at the model's own resolution."),
    "depth": ("depth_maps", "Nearness of every pixel of the composite, at the model's own resolution."),
}
STAND_INS = {
    "felzenszwalb": " SegFormer's place is taken by `felzenszwalb` regions, which have no classes.",
    "dark_channel": " Depth-Anything-V2's place is taken by the `dark_channel` haze prior.",
}


def shard_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """Scenes -> maps -> shards."""
    return [_scenes(plan), *(_maps(plan, stage) for stage in plan.factory.maps.values()), _shards(plan)]


def _result(
    context: dg.AssetExecutionContext, plan: Plan, report: Report, results: Sequence[dg.AssetCheckResult] = ()
) -> dg.MaterializeResult:
    for shard, manifest in report.shards.items():
        context.add_asset_metadata(shard_metadata(manifest), partition_key=shard)
    return dg.MaterializeResult(metadata=report_metadata(report, plan.factory.store), check_results=results)


def _scenes(plan: Plan) -> dg.AssetsDefinition:
    factory, profile = plan.factory, plan.profile

    @dg.asset(
        deps=["foreground_library", "background_library"],
        partitions_def=plan.shards,
        backfill_policy=POLICY,
        group_name="scenes",
        owners=OWNERS,
        kinds={"webdataset"},
        code_version=plan.code_version(factory.scenes),
        check_specs=[dg.AssetCheckSpec(name, asset="scenes", blocking=True) for name in SCENE_CHECKS],
        description="Layered scenes: a background with one to three foregrounds that may hide each other, each "
        "complete also where it is hidden, with an imperfect mask. The same recipe gives the same bytes.",
    )
    def scenes(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        report = factory.run(factory.scenes, context.partition_keys)
        rows = checks.read_rows(factory.store, report.shards.values())
        results = (
            checks.scene_drops(report, profile.checks),
            checks.layers_per_scene(rows),
            checks.occlusion_recomputed(factory.store, report),
            checks.mask_overlap(rows, profile.masks),
            checks.counts_against_manifest(factory.store, report),
        )
        named = [check(name, result) for name, result in zip(SCENE_CHECKS, results, strict=True)]
        return _result(context, plan, report, named)

    return scenes


def _maps(plan: Plan, stage: MapStage) -> dg.AssetsDefinition:
    name, description = MAPS[stage.name]
    model = getattr(getattr(plan.profile.maps, stage.name), "model", "")

    @dg.asset(
        name=name,
        deps=["scenes"],
        partitions_def=plan.shards,
        backfill_policy=POLICY,
        group_name="maps",
        owners=OWNERS,
        kinds={"png"},
        code_version=plan.code_version(stage),
        description=description + STAND_INS.get(model, ""),
    )
    def maps(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return _result(context, plan, plan.factory.run(stage, context.partition_keys))

    return maps


def _shards(plan: Plan) -> dg.AssetsDefinition:
    factory = plan.factory

    @dg.asset(
        deps=["scenes", *(name for name, _ in MAPS.values())],
        partitions_def=plan.shards,
        backfill_policy=POLICY,
        group_name="shards",
        owners=OWNERS,
        kinds={"webdataset"},
        code_version=plan.code_version(factory.shards),
        check_specs=[dg.AssetCheckSpec("verified", asset="shards", blocking=True)],
        description="Training shards: scenes and maps side by side in one tar, with a parquet index (a row a layer) "
        "and a manifest that is written last. Each is verified before anything is built on it.",
    )
    def shards(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        report = factory.run(factory.shards, context.partition_keys)
        found = verify([factory.store.url(f"shards/{shard}.tar") for shard in report.shards], factory.engine)
        sentence = f"{found.num_scenes} scenes in {found.num_shards} shards, {len(found.faults)} faults"
        result = CheckResult(found.ok, sentence, {"faults": [str(fault) for fault in found.faults[:20]]})
        return _result(context, plan, report, [check("verified", result)])

    return shards
