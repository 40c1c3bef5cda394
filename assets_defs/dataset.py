"""The last asset of the data: the dataset's card, index, figures and contact sheets."""

from collections.abc import Callable

import dagster as dg

from assets_defs.asset import in_words
from assets_defs.metadata import check, check_spec, counts_table, nothing_to_do, picture, readable, uses_table
from assets_defs.plan import Plan
from assets_defs.serving import served_url
from decoupage.fingerprint import fingerprint
from pipelines import checks
from pipelines.dataset.stand_ins import stand_ins
from pipelines.library.leaks import find_leaks, shown_assets

DATASET_CHECKS: dict[str, Callable[..., checks.CheckResult]] = {
    "as_many_scenes_as_planned": checks.scenes_planned,
    "even_uses": checks.even_uses,
    "commercial_use": checks.commercial_use,
    "no_leak": checks.no_leak,
}


def dataset_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The asset `dataset`, the index over all shards."""
    factory, profile = plan.factory, plan.profile

    spec = dg.AssetSpec(
        "dataset",
        deps=["shards"],
        group_name="dataset",
        owners=["team:data"],
        kinds={"huggingface", "parquet"},
        description="The finished dataset: index over all shards, data card, Croissant metadata, attributions, "
        "distributions and contact sheets of random scenes, the most occluded and the worst masks.",
    )

    # Its op has a name of its own: an op and a job of one location may not share one, and the job is `dataset`.
    @dg.multi_asset(
        name="write_dataset",
        specs=[spec],
        check_specs=[check_spec("dataset", name, function) for name, function in DATASET_CHECKS.items()],
    )
    @in_words
    def dataset() -> dg.MaterializeResult:
        """Writes `dataset/` in the root. Raises BadSetup: shards are missing, mixed or damaged."""
        # pandas and the card's libraries cost a second; every worker loads this module.
        from pipelines.dataset.build import SUMMARY, write_dataset
        from pipelines.dataset.statistics import num_layers

        shown = (shown_assets(factory.store, stage.name) for stage in (factory.shards, factory.held_out.shards))
        leaks = find_leaks(factory.store, factory.photographs, profile.library, *shown)
        report = write_dataset(factory.store, profile.name, profile, leaks)
        statistics = report.statistics
        unchanged = {} if report.made else nothing_to_do(f"remove {factory.store.url(SUMMARY)} and materialize again")
        recipes = {stage.name: fingerprint(stage.recipe) for stage in (factory.shards, factory.held_out.shards)}
        results = (
            checks.scenes_planned(statistics.num_scenes, profile),
            checks.even_uses(statistics.uses, profile.checks),
            checks.commercial_use(factory.store, profile, recipes),
            checks.no_leak(leaks),
        )
        return dg.MaterializeResult(
            metadata=unchanged
            | {
                "preview": picture(report.preview),
                "scenes": statistics.num_scenes,
                "dagster/row_count": statistics.num_layers,
                "megabytes": round(statistics.num_bytes / 1e6, 2),
                "occlusion": counts_table(num_layers(statistics.occlusion), "level"),
                "mask_errors": counts_table(num_layers(statistics.mask_iou), "kind"),
                "licences": counts_table({n: sum(c.values()) for n, c in statistics.licences.items()}, "licence"),
                "draws_rejected": counts_table(statistics.rejected_draws, "reason"),
                "uses": uses_table(statistics.uses),
                "stand_ins": readable(stand_ins(profile)),
                "data_card": dg.MetadataValue.url(served_url("dataset/README.md")),
                "contact_sheets": dg.MetadataValue.path(factory.store.url("dataset/sheets")),
            },
            data_version=dg.DataVersion(report.data_version[:16]),
            check_results=[check(name, result) for name, result in zip(DATASET_CHECKS, results, strict=True)],
        )

    return [dataset]
