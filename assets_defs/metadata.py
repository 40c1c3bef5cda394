"""Turns the domain's reports into Dagster metadata: counts, tables, small pictures."""

import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg

from pipelines.checks import CheckResult
from pipelines.library.catalogue import CatalogueReport
from pipelines.manifest import Manifest
from pipelines.stage import Report
from pipelines.store import Store

Metadata = dict[str, dg.MetadataValue]


def report_metadata(report: Report, store: Store) -> Metadata:
    """Totals of a run of a stage."""
    metadata: Metadata = {
        "items": dg.MetadataValue.int(report.num_items),
        "dagster/row_count": dg.MetadataValue.int(report.num_rows),
        "shards_made_now": dg.MetadataValue.int(report.num_made),
        "megabytes": dg.MetadataValue.float(round(report.num_bytes / 1e6, 3)),
        "seconds": dg.MetadataValue.float(round(report.seconds, 2)),
        "dropped": dg.MetadataValue.int(len(report.drops)),
        "dagster/uri": dg.MetadataValue.text(store.url(report.stage)),
    }
    if report.drops:
        metadata["dropped_by_reason"] = counts_table(report.drops_by_reason, "reason")
        metadata["quarantine"] = dg.MetadataValue.path(store.url(f"quarantine/{report.stage.replace('/', '-')}.jsonl"))
    if report.counts:
        metadata["counts"] = counts_table(report.counts, "what")
    return metadata


def shard_metadata(manifest: Manifest) -> Metadata:
    """What is shown for one partition, and plotted over all of them."""
    return {
        "items": dg.MetadataValue.int(manifest.num_items),
        "megabytes": dg.MetadataValue.float(round(manifest.num_bytes / 1e6, 3)),
        "seconds": dg.MetadataValue.float(manifest.seconds),
        "dropped": dg.MetadataValue.int(len(manifest.drops)),
        "sha256": dg.MetadataValue.text(manifest.tar_sha256),
    }


def library_metadata(library: CatalogueReport, preview_jpeg: bytes, store: Store) -> Metadata:
    """A catalogue at a glance."""
    metadata: Metadata = {
        "preview": picture(preview_jpeg),
        "dagster/row_count": dg.MetadataValue.int(len(library.records)),
        "dropped": dg.MetadataValue.int(len(library.drops)),
        "contact_sheet": dg.MetadataValue.path(store.url(f"library/{library.name}.jpg")),
        "dagster/uri": dg.MetadataValue.text(store.url(f"library/{library.name}.parquet")),
    }
    for column in ("source", "split", "licence"):
        metadata[f"by_{column}"] = counts_table(library.count_by(column), column)
    if library.drops:
        metadata["dropped_by_reason"] = counts_table(library.drops_by_reason, "reason")
    return metadata


def picture(jpeg: bytes) -> dg.MetadataValue:
    """A picture inside the event (Dagster has no picture type; Markdown with an inline JPEG is shown)."""
    return dg.MetadataValue.md(f"![preview](data:image/jpeg;base64,{base64.b64encode(jpeg).decode()})")


def counts_table(counts: Mapping[str, Any], name: str) -> dg.MetadataValue:
    """A table of names and numbers."""
    return dg.MetadataValue.table(
        [dg.TableRecord({name: key, "number": value}) for key, value in counts.items()],
        schema=dg.TableSchema([dg.TableColumn(name), dg.TableColumn("number", "int")]),
    )


def check(name: str, result: CheckResult) -> dg.AssetCheckResult:
    """A check of the asset that returns it."""
    figures = {key: dg.MetadataValue.json(value) if isinstance(value, list) else value for key, value in result.figures.items()}
    return dg.AssetCheckResult(check_name=name, passed=result.passed, description=result.sentence, metadata=figures)
