"""MULAN: its annotations, observed, and the foregrounds rebuilt from them."""

import dagster as dg

from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import GROUP, OWNERS, foregrounds_asset
from pipelines.foregrounds.mulan.files import find_annotations
from pipelines.randomness import digest


def mulan_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """Annotations and foregrounds."""
    packaged = plan.profile.mulan.source == "packaged"
    stand_in = "a small tree in its byte format, made from packaged photographs, stands in" if packaged else ""
    foregrounds = foregrounds_asset(
        plan,
        "mulan_foregrounds",
        "mulan_annotations",
        plan.factory.mulan_foregrounds,
        "Real foregrounds: MULAN's instances rebuilt from annotation and photograph, judged by the gates, colour "
        "bled, stored as lossless WebP. Rich texture, imperfect shapes. Unusable files go to quarantine.",
    )
    return [_annotations(plan, stand_in), foregrounds]


def _annotations(plan: Plan, stand_in: str) -> dg.AssetsDefinition:
    factory = plan.factory

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"file"},
        description="MULAN's annotation files (`<id>.p.zl`) with their COCO photographs. Observed, never changed: its "
        "version is the list of files with their sizes." + (f" Here {stand_in}." if stand_in else ""),
    )
    def mulan_annotations() -> dg.MaterializeResult:
        factory.write_packaged_sources()
        annotations, images = factory.mulan_folders
        files = [(file.id, file.path.stat().st_size) for file in find_annotations(annotations)]
        return dg.MaterializeResult(
            metadata={
                "annotations": len(files),
                "megabytes": round(sum(size for _, size in files) / 1e6, 2),
                "dagster/uri": str(annotations),
                "images": dg.MetadataValue.path(str(images)),
            },
            data_version=dg.DataVersion(digest(*sorted(files)).hex()[:16]),
        )

    return mulan_annotations
