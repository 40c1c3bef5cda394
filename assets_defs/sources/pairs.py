"""The asset of before/after pairs; there only where the profile names a folder of them."""

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import check, check_spec, picture, report_metadata
from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import GROUP, OWNERS
from pipelines import checklists
from pipelines.previews import pair_tiles, preview

NAME, FOLDER = "removal_pairs", "pairs_folder"


def pairs_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The asset `removal_pairs`, or none."""
    factory, profile = plan.factory, plan.profile
    stage = factory.pairs
    if stage is None:
        return []

    @asset(
        name=NAME,
        # The libraries say what is held out, of which no pair may show anything.
        deps=[FOLDER, "foreground_library", "background_library"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"webp"},
        code_version=plan.code_version(stage),
        check_specs=[check_spec(NAME, *named) for named in checklists.SOURCE.items()],
        description="Before/after pairs that training draws a share of its samples from (`data.pairs_share`): a place "
        "with an object and without it, cut to the size of scenes, with the object's mask and the picture's maps.",
    )
    def removal_pairs() -> dg.MaterializeResult:
        """Reads, checks and cuts each pair. Raises BadSetup: the folder, the library or weights are not there."""
        report = factory.run(stage)
        metadata = report_metadata(report, factory.store)
        if tiles := pair_tiles(factory.store, report):
            metadata["preview"] = picture(preview(tiles))
        results = checklists.check_source(report, profile)
        return dg.MaterializeResult(metadata=metadata, check_results=[check(*named) for named in results.items()])

    return [removal_pairs]
