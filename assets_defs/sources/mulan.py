"""Assets of MULAN: its annotations, which are observed, and the foregrounds rebuilt from them."""

from collections.abc import Collection, Mapping
from itertools import islice

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import Metadata, counts_table, table
from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import GROUP, OWNERS, foregrounds_asset
from pipelines.foregrounds.mulan.fetch import QUARANTINE, FetchReport
from pipelines.foregrounds.mulan.source import INDEX
from pipelines.foregrounds.mulan.summary import shard_summaries
from pipelines.stages.run import Report
from pipelines.stages.store import Store

SHARDS_SHOWN = 100
_COLUMNS = {"shard": "string", "files": "int", "instances": "int", "kept": "int", "dropped": "int"}
_COLUMNS |= {"drops_by_reason": "string", "mean_consistency_error": "float"}


def mulan_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The assets `mulan_annotations` and `mulan_foregrounds`; none where the profile leaves MULAN out."""
    if plan.profile.mulan.source == "none":
        return []
    packaged = plan.profile.mulan.source == "packaged"
    stand_in = "a small tree in its byte format, made from packaged photographs, stands in" if packaged else ""
    foregrounds = foregrounds_asset(
        plan,
        "mulan_foregrounds",
        "mulan_annotations",
        plan.factory.mulan_foregrounds,
        "Real foregrounds: MULAN's instances rebuilt from annotation and photograph, filtered, colour bled, stored as "
        "lossless WebP. Rich texture, imperfect shapes. Unusable files go to quarantine.",
        lambda report: {"shards": _shards_table(report, plan.factory.store)},
    )
    return [_annotations(plan, stand_in), foregrounds]


def _annotations(plan: Plan, stand_in: str) -> dg.AssetsDefinition:
    factory = plan.factory

    @asset(
        deps=["mulan_folder"] if plan.profile.mulan.source == "folder" else [],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"file"},
        description="MULAN's annotation files (`<id>.p.zl`) with their photographs, of COCO and, where the profile "
        "says so, of LAION. Annotations are observed, never changed: the version is the list of files with their "
        "sizes, and of those photographs. What is missing is fetched if the profile names an address, and which "
        "pictures are for testing is written down once." + (f" Here {stand_in}." if stand_in else ""),
    )
    def mulan_annotations() -> dg.MaterializeResult:
        """Writes the index and the split. Raises BadSetup: a folder or list is missing, or fetching cannot go on."""
        found = factory.observe_mulan()
        source, index = factory.mulan_source, found.index
        metadata: Metadata = {
            "annotations": dg.MetadataValue.int(len(index)),
            "annotations_by_part": counts_table(index.num_by_part, "part"),
            "refused_clashes": dg.MetadataValue.int(index.num_clashes),
            "photographs": counts_table(found.photographs, "folder"),
            "split": dg.MetadataValue.text(str(found.split)),
            "test_pictures": dg.MetadataValue.int(len(found.split.keys)),
            "test_ids_sha256": dg.MetadataValue.text(found.split.sha256),
            "megabytes": dg.MetadataValue.float(round(index.num_bytes / 1e6, 2)),
            "index": dg.MetadataValue.path(factory.store.url(INDEX)),
            "dagster/uri": dg.MetadataValue.text(str(source.annotations)),
            "images": dg.MetadataValue.path(str(source.images)),
        }
        if found.licences:
            metadata["photographs_by_licence"] = _licences_table(found.licences, plan.profile.mulan.licences)
        if found.fetched is not None:
            metadata |= _fetched(found.fetched, factory.store)
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(found.version))

    return mulan_annotations


def _licences_table(licences: Mapping[str, int], used: Collection[str]) -> dg.MetadataValue:
    """A table of the photographs' licences, and whether the profile uses photographs under them."""
    rows = ({"licence": name, "number": n, "used": not used or name in used} for name, n in licences.items())
    return table(rows, {"licence": "string", "number": "int", "used": "bool"})


def _fetched(fetched: FetchReport, store: Store) -> Metadata:
    metadata: Metadata = {
        "photographs_fetched_now": dg.MetadataValue.int(fetched.num_fetched),
        "megabytes_fetched_now": dg.MetadataValue.float(round(fetched.num_bytes / 1e6, 2)),
        "left_out_by_the_budget": dg.MetadataValue.int(fetched.num_left),
    }
    if fetched.drops:
        metadata["photographs_not_to_be_had"] = counts_table(fetched.drops_by_reason, "reason")
        metadata["photographs_quarantine"] = dg.MetadataValue.path(store.url(QUARANTINE))
    return metadata


def _shards_table(report: Report, store: Store) -> dg.MetadataValue:
    """A table of the first shards, one per row."""
    rows = (
        {
            "shard": summary.shard,
            "files": summary.num_files,
            "instances": summary.num_instances,
            "kept": summary.num_kept,
            "dropped": sum(summary.drops.values()),
            "drops_by_reason": ", ".join(f"{reason} {number}" for reason, number in summary.drops.items()),
            "mean_consistency_error": summary.consistency_error,
        }
        for summary in islice(shard_summaries(report, store), SHARDS_SHOWN)
    )
    return table(rows, _COLUMNS)
