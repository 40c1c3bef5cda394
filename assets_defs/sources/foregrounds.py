"""The parts that the assets of both kinds of foregrounds share, and the group of all sources."""

from collections.abc import Callable

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import Metadata, check, check_spec, picture, report_metadata
from assets_defs.plan import Plan
from pipelines import checklists
from pipelines.library.assets import Assets
from pipelines.library.catalogue import read_foregrounds
from pipelines.previews import foreground_tiles, preview
from pipelines.stages.run import Report, Stage

GROUP = "sources"
OWNERS = ["team:data"]


def foregrounds_asset(
    plan: Plan,
    name: str,
    upstream: str,
    stage: Stage,
    description: str,
    more: Callable[[Report], Metadata] | None = None,
) -> dg.AssetsDefinition:
    """A stage of foregrounds as an asset, with a preview, a check of what is dropped, its source's metadata."""
    factory, profile = plan.factory, plan.profile

    @asset(
        name=name,
        deps=[upstream],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"webp"},
        code_version=plan.code_version(stage),
        check_specs=[check_spec(name, *named) for named in checklists.SOURCE.items()],
        description=description,
    )
    def foregrounds() -> dg.MaterializeResult:
        """Writes the stage's cutouts. Raises BadSetup: files, weights or a device of the source are missing."""
        report = factory.run(stage)
        records = read_foregrounds(factory.store, stage.name)
        metadata = report_metadata(report, factory.store) | (more(report) if more else {})
        if records:
            tiles = foreground_tiles(Assets(factory.store, factory.photographs), records)
            metadata["preview"] = picture(preview(tiles))
        results = checklists.check_source(report, profile)
        return dg.MaterializeResult(metadata=metadata, check_results=[check(*named) for named in results.items()])

    return foregrounds
