"""The asset of OpenImages: its photographs, fetched, and the index of those that can be backgrounds."""

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import Metadata, check, check_spec, counts_table, picture, report_metadata
from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import GROUP, OWNERS
from pipelines import checklists, checks
from pipelines.backgrounds.openimages.fetch import PhotographsReport
from pipelines.library.assets import Assets
from pipelines.library.catalogue import read_backgrounds
from pipelines.previews import background_tiles, preview


def openimages_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The asset `openimages_index`."""
    factory, profile = plan.factory, plan.profile
    stand_in = " Packaged photographs stand in for OpenImages." if profile.backgrounds.source == "packaged" else ""

    @asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"jpeg"},
        code_version=plan.code_version(factory.backgrounds),
        check_specs=[
            *(check_spec("openimages_index", *named) for named in checklists.SOURCE.items()),
            check_spec("openimages_index", "enough_photographs", checks.enough_photographs, blocking=False),
        ],
        description="The index of background photographs: chosen from OpenImages' lists, fetched, each opened once, "
        "judged by size and sharpness, with rotation, licence and attribution." + stand_in,
    )
    def openimages_index() -> dg.MaterializeResult:
        """Fetches and judges photographs. Raises BadSetup: a list, or every picture, cannot be fetched."""
        factory.write_packaged_sources()
        fetched = factory.fetch_photographs()
        report = factory.run(factory.backgrounds)
        records = read_backgrounds(factory.store, factory.backgrounds.name)
        metadata = report_metadata(report, factory.store) | (_fetched(fetched) if fetched else {})
        metadata["photographs"] = dg.MetadataValue.path(factory.photographs.root)
        if records:
            tiles = background_tiles(Assets(factory.store, factory.photographs), records)
            metadata["preview"] = picture(preview(tiles))
        enough = checks.enough_photographs(report, fetched, profile)
        metadata |= {name: dg.MetadataValue.int(enough.figures[name]) for name in ("wanted", "found", "kept")}
        results = [
            *(check(*named) for named in checklists.check_source(report, profile).items()),
            check("enough_photographs", enough, blocking=False),
        ]
        return dg.MaterializeResult(metadata=metadata, check_results=results)

    return [openimages_index]


def _fetched(report: PhotographsReport) -> Metadata:
    """Metadata of fetching: how many photographs were listed, chosen, fetched and dropped."""
    downloads = report.downloads
    metadata: Metadata = {
        "listed": dg.MetadataValue.int(report.num_listed),
        "chosen": dg.MetadataValue.int(report.num_chosen),
        "fetched": dg.MetadataValue.int(len(downloads.paths)),
        "fetched_now": dg.MetadataValue.int(downloads.num_fetched),
        "fetched_megabytes": dg.MetadataValue.float(round(downloads.num_bytes / 1e6, 3)),
        "left_out_by_byte_budget": dg.MetadataValue.int(downloads.num_left),
        "listed_dropped_by_reason": counts_table(report.drops_of_lists, "reason"),
        "licences": counts_table(report.licences, "licence"),
    }
    if report.originals:
        metadata["originals_by_outcome"] = counts_table(report.originals.outcomes, "outcome")
        metadata["originals_megabytes_fetched_now"] = dg.MetadataValue.float(round(report.originals.num_bytes / 1e6, 3))
    if downloads.drops:
        metadata["not_fetched_by_reason"] = counts_table(downloads.drops_by_reason, "reason")
    return metadata
