"""The asset of the photographs' layouts; there only where scenes place layers by them."""

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import check, check_spec, counts_table, report_metadata
from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import GROUP, OWNERS
from pipelines import checklists
from pipelines.library.layout import offers_of

NAME = "background_layouts"


def layouts_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The asset `background_layouts`; nothing where the profile places layers freely."""
    factory, profile = plan.factory, plan.profile
    stage = factory.layouts
    if stage is None:
        return []

    @asset(
        name=NAME,
        deps=["openimages_index"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"png"},
        code_version=plan.code_version(stage),
        check_specs=[check_spec(NAME, name, function) for name, function in checklists.SOURCE.items()],
        description="What each photograph can carry at each place (ground, water, sky, surfaces, what things hang "
        "from), its horizon and its ground plane, by SegFormer's classes and inverse depth.",
    )
    def background_layouts() -> dg.MaterializeResult:
        """Writes one layout per photograph. Raises BadSetup: the index, weights or a device are not there."""
        report = factory.run(stage)
        metadata = report_metadata(report, factory.store)
        metadata["offers"] = counts_table(offers_of(factory.store, stage.shards()), "offers")
        results = checklists.check_source(report, profile)
        return dg.MaterializeResult(
            metadata=metadata, check_results=[check(name, result) for name, result in results.items()]
        )

    return [background_layouts]
