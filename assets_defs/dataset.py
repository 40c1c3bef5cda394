"""The asset at the end of the data: the dataset's card, index, figures and contact sheets."""

import dagster as dg

from assets_defs.metadata import check, counts_table, picture
from assets_defs.plan import Plan
from pipelines.checks import CheckResult
from pipelines.dataset.stand_ins import stand_ins


def dataset_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The one index asset over all shards."""
    factory, profile = plan.factory, plan.profile

    @dg.asset(
        deps=["shards"],
        group_name="dataset",
        owners=["team:data"],
        kinds={"huggingface", "parquet"},
        check_specs=[dg.AssetCheckSpec("as_many_scenes_as_planned", asset="dataset", blocking=True)],
        description="The finished dataset: index over all shards, data card, Croissant metadata, attributions, "
        "distributions and contact sheets of random scenes, the most occluded and the worst masks.",
    )
    def dataset() -> dg.MaterializeResult:
        # pandas and the card's libraries cost a second; every worker loads this module.
        from pipelines.dataset.build import write_dataset

        report = write_dataset(factory.store, profile.name, profile)
        statistics = report.statistics
        planned = profile.scenes.num_scenes
        enough = statistics.num_scenes >= planned * (1 - profile.checks.max_scene_drop_share)
        sentence = f"{statistics.num_scenes} of {planned} planned scenes, {statistics.num_layers} triplets"
        return dg.MaterializeResult(
            metadata={
                "preview": picture(report.preview),
                "scenes": statistics.num_scenes,
                "dagster/row_count": statistics.num_layers,
                "megabytes": round(statistics.num_bytes / 1e6, 2),
                "occlusion": counts_table({name: spread.num_layers for name, spread in statistics.occlusion.items()}, "level"),
                "mask_errors": counts_table({name: spread.num_layers for name, spread in statistics.mask_iou.items()}, "kind"),
                "draws_rejected": counts_table(statistics.rejected_draws, "reason"),
                "stand_ins": dg.MetadataValue.json(stand_ins(profile)),
                "data_card": dg.MetadataValue.path(factory.store.url("dataset/README.md")),
                "contact_sheets": dg.MetadataValue.path(factory.store.url("dataset/sheets")),
            },
            data_version=dg.DataVersion(report.data_version[:16]),
            check_results=[check("as_many_scenes_as_planned", CheckResult(enough, sentence))],
        )

    return [dataset]
