"""OpenImages: the index of background photographs."""

import dagster as dg

from assets_defs.metadata import check, check_spec, picture, report_metadata
from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import GROUP, OWNERS
from pipelines import checks
from pipelines.library.catalogue import read_backgrounds
from pipelines.previews import background_tiles, preview
from pipelines.scenes.assets import Assets


def openimages_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The index."""
    return [_index(plan)]


def _index(plan: Plan) -> dg.AssetsDefinition:
    factory, profile = plan.factory, plan.profile
    stand_in = " Packaged photographs stand in for OpenImages." if profile.backgrounds.source == "packaged" else ""

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"jpeg"},
        code_version=plan.code_version(factory.backgrounds),
        check_specs=[check_spec("openimages_index", "quarantine_share", checks.quarantine_share)],
        description="The index of background photographs: each opened once, judged by size and sharpness, with "
        "rotation, licence and attribution." + stand_in,
    )
    def openimages_index() -> dg.MaterializeResult:
        factory.write_packaged_sources()
        report = factory.run(factory.backgrounds)
        records = read_backgrounds(factory.store, factory.backgrounds.name)
        metadata = report_metadata(report, factory.store)
        metadata["photographs"] = dg.MetadataValue.path(factory.photographs.root)
        if records:
            tiles = background_tiles(Assets(factory.store, factory.photographs), records)
            metadata["preview"] = picture(preview(tiles))
        share = check("quarantine_share", checks.quarantine_share(report, profile.checks))
        return dg.MaterializeResult(metadata=metadata, check_results=[share])

    return openimages_index
