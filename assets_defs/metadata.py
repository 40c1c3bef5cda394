"""Reports of the stages as Dagster metadata and check results: counts, tables, small pictures.

No value goes to Dagster as JSON: it would show a button in its place.
"""

import base64
import hashlib
import io
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from assets_defs.serving import served_url
from pipelines.checks import CheckResult
from pipelines.config.scenes import SIZE_CLASSES
from pipelines.library.catalogue import CatalogueReport, unmatched_lines
from pipelines.library.records import Record
from pipelines.scenes.sharpness import resolution_of
from pipelines.stages.drop_kinds import count_kinds
from pipelines.stages.manifest import Drop
from pipelines.stages.run import Report
from pipelines.stages.store import Store

if TYPE_CHECKING:
    from pipelines.dataset.uses import Uses
    from pipelines.scenes.plan import ClassWeights

Metadata = dict[str, dg.MetadataValue]
NOTHING = "nothing_to_do"
"""Key of metadata by which an event says that nothing was made; its text says what forces it."""
HOLDS = "holds"
"""Key of metadata by which a partition's event says what it held by plan."""
SHRUNK_PX = 960
"""Width of a sheet in metadata, at most."""
FACTOR_STEPS = (0.25, 0.5, 0.75, 1.0, 1.15, 1.5, 2.0, 3.0)
"""Bounds of a histogram of enlargement; from 1 on pixels are made up."""
LOG2_STEPS = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
"""Bounds of a histogram of sharpness inside / around; 1 = twice the variance."""
AREA_STEPS = (0.5, 0.75, 0.95, 1.05, 1.5, 2.0, 3.0, 4.0)
"""Bounds of a histogram of mask area / visible area."""


def report_metadata(report: Report, store: Store) -> Metadata:
    """Metadata of a source stage: totals over all its shards."""
    metadata: Metadata = {
        "items": dg.MetadataValue.int(report.num_items),
        "dagster/row_count": dg.MetadataValue.int(report.num_rows),
        "shards_made_now": dg.MetadataValue.int(report.num_made),
        "megabytes": dg.MetadataValue.float(round(report.num_bytes / 1e6, 3)),
        "seconds": dg.MetadataValue.float(round(report.seconds, 2)),
        "dagster/uri": dg.MetadataValue.text(store.url(report.stage)),
    }
    if not report.made:
        metadata |= nothing_to_do(f"remove {store.url(report.stage)} and materialize again")
    if report.drops:
        metadata["dropped_by_kind"] = counts_table(count_kinds(report.drops), "kind")
    return metadata | _drops(report.stage, report.drops, store)


def nothing_to_do(forced_by: str) -> Metadata:
    """What the event of a materialization that made nothing says.

    Args:
        forced_by: what makes it again anyway.
    """
    return {NOTHING: dg.MetadataValue.text(f"everything is there and unchanged; to force it: {forced_by}")}


def partition_metadata(report: Report, store: Store, holds: str, num_rows: int | None) -> Metadata:
    """Metadata of one partition; Dagster plots the numbers over all of them.

    Args:
        report: on the shards of the partition alone.
        holds: what the partition holds by plan, in words (`Plan.contents`).
        num_rows: rows of the asset in all shards; Dagster would show the last partition's instead. None = not known.
    """
    first, *more = report.shards.values()
    path = f"{report.stage}/{first.shard}"
    metadata: Metadata = {}
    if not report.made:
        others = " and those of the partition's other shards" if more else ""
        metadata |= nothing_to_do(f"remove {store.url(path)}.json{others} and materialize again")
    if num_rows is not None:
        metadata["dagster/row_count"] = dg.MetadataValue.int(num_rows)
    hashes = [manifest.tar_sha256 for manifest in report.shards.values()]
    sha256 = hashlib.sha256("".join(hashes).encode()).hexdigest() if more else first.tar_sha256
    metadata |= {
        HOLDS: dg.MetadataValue.text(holds),
        "items": dg.MetadataValue.int(report.num_items),
        "dagster/partition_row_count": dg.MetadataValue.int(report.num_rows),
        "megabytes": dg.MetadataValue.float(round(report.num_bytes / 1e6, 3)),
        "seconds": dg.MetadataValue.float(round(sum(manifest.seconds for manifest in report.shards.values()), 3)),
        "sha256": dg.MetadataValue.text(sha256[:16]),
        "dagster/uri": dg.MetadataValue.text(store.url(report.stage if more else f"{path}.tar")),
    }
    if report.counts:
        metadata["counts"] = counts_table(report.counts, "what")
    return metadata | _drops(report.stage, report.drops, store)


def _drops(stage: str, drops: Sequence[Drop], store: Store) -> Metadata:
    metadata: Metadata = {"dropped": dg.MetadataValue.int(len(drops))}
    if drops:
        metadata["dropped_by_reason"] = counts_table(Counter(drop["reason"] for drop in drops), "reason")
        metadata["quarantine"] = dg.MetadataValue.path(store.url(f"quarantine/{stage.replace('/', '-')}.jsonl"))
    return metadata


def layer_metadata(rows: Collection[Mapping[str, Any]]) -> Metadata:
    """Metadata on one partition's layers: occlusion, size classes, uses of cutouts, enlargement, sharpness."""
    if not rows:
        return {}
    levels = Counter(row["occlusion_level"] for row in rows)
    classes = Counter(f"{row['foreground_kind']} {row['size_class']}" for row in rows)
    shown = Counter((row["foreground_kind"], row["foreground_id"]) for row in rows)
    by_kind = {kind: sorted(count for (of, _), count in shown.items() if of == kind) for kind, _ in sorted(shown)}
    uses = ({"kind": kind, "cutouts": len(n), "median": float(median(n)), "most": n[-1]} for kind, n in by_kind.items())
    metadata: Metadata = {
        "layers_by_size_class": counts_table(dict(sorted(classes.items())), "kind and class"),
        "uses_in_this_partition": table(uses),
        "mean_occluded_fraction": dg.MetadataValue.float(round(fmean(row["occluded_fraction"] for row in rows), 4)),
        "layers_by_occlusion": counts_table(dict(levels.most_common()), "level"),
    }
    for name, values in resolution_of(rows).items():
        if values:
            steps = LOG2_STEPS if name.endswith("log2_ratio") else FACTOR_STEPS
            metadata[f"median_{name}"] = dg.MetadataValue.float(round(median(values), 3))
            metadata[f"{name}_histogram"] = histogram_table(values, steps)
    return metadata


def class_weights_table(weights: "ClassWeights") -> dg.MetadataValue:
    """How often plans ask for each size class, one row per kind of foreground."""
    return table({"kind": kind, **dict(zip(SIZE_CLASSES, found, strict=True))} for kind, found in weights.items())


def uses_table(uses: Mapping[str, "Uses"]) -> dg.MetadataValue:
    """How often a dataset shows the assets of each role and source."""
    return table(
        {
            "assets": name,
            "number": found.num_assets,
            "least": found.min,
            "median": found.median,
            "most": found.max,
            "share_of_top_tenth": found.top_tenth_share,
            "scenes: assets": ", ".join(f"{times}: {number}" for times, number in found.histogram.items()),
        }
        for name, found in uses.items()
    )


def mask_metadata(rows: Collection[Mapping[str, Any]]) -> Metadata:
    """How far one partition's masks are from what is visible."""
    if not rows:
        return {}
    errors = Counter(row["mask_error"] for row in rows)
    ratios = [row["mask_area_ratio"] for row in rows]
    return {
        "mean_mask_iou": dg.MetadataValue.float(round(fmean(row["mask_iou"] for row in rows), 4)),
        "median_mask_area_ratio": dg.MetadataValue.float(round(median(ratios), 3)),
        "mask_area_ratio_histogram": histogram_table(ratios, AREA_STEPS),
        "layers_by_mask_error": counts_table(dict(errors.most_common()), "kind"),
    }


def library_metadata(library: CatalogueReport[Record], preview_jpeg: bytes, store: Store) -> Metadata:
    """Metadata of a catalogue: counts, contact sheet, drops."""
    metadata: Metadata = {
        "preview": picture(preview_jpeg),
        "dagster/row_count": dg.MetadataValue.int(len(library.records)),
        "dropped": dg.MetadataValue.int(len(library.drops)),
        "contact_sheet": dg.MetadataValue.url(served_url(f"library/{library.name}.jpg")),
        "dagster/uri": dg.MetadataValue.text(store.url(f"library/{library.name}.parquet")),
    }
    for column in ("source", "split", "licence"):
        metadata[f"by_{column}"] = counts_table(library.count_by(column), column)
    if library.drops:
        metadata["dropped_by_reason"] = counts_table(library.drops_by_reason, "reason")
    if missed := unmatched_lines(store):
        metadata["unmatched_lines"] = dg.MetadataValue.md("\n\n".join(found.sentence for found in missed))
    return metadata


def picture(jpeg: bytes) -> dg.MetadataValue:
    """A JPEG as Markdown with the picture inline, which Dagster shows; it has no type for pictures."""
    return dg.MetadataValue.md(f"![preview](data:image/jpeg;base64,{base64.b64encode(jpeg).decode()})")


def shrunk(sheet: Path | bytes) -> bytes:
    """A JPEG of at most 25 kB of a sheet's first rows, for `picture`; the file itself keeps its size."""
    from PIL import Image

    from decoupage.images.contact_sheet import legible_rows

    with Image.open(io.BytesIO(sheet) if isinstance(sheet, bytes) else sheet) as image:
        pixels = np.asarray(image.convert("RGB"))
    return legible_rows(pixels, SHRUNK_PX)


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> dg.MetadataValue:
    """A table, figures rounded. `columns`: types by name; None = as in the first row, of which there must be one."""
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()]) if columns else None
    short = ({name: rounded(cell) if isinstance(cell, float) else cell for name, cell in row.items()} for row in rows)
    return dg.MetadataValue.table([dg.TableRecord(row) for row in short], schema)


def counts_table(counts: Mapping[str, Any], name: str) -> dg.MetadataValue:
    """A table of names and numbers."""
    return table(({name: key, "number": value} for key, value in counts.items()), {name: "string", "number": "int"})


def histogram_table(values: Sequence[float], steps: Sequence[float]) -> dg.MetadataValue:
    """A table of ranges, each with its lower bound, and how many values are in it; empty ranges too."""
    bounds = (-math.inf, *steps, math.inf)
    names = [f"below {steps[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(steps)), f"{steps[-1]:g} and more"]
    counts = [sum(low <= value < high for value in values) for low, high in pairwise(bounds)]
    return counts_table(dict(zip(names, counts, strict=True)), "range")


def readable(value: Any) -> dg.MetadataValue:
    """A value of JSON as a person reads it: four significant digits, names with commas between, a table of names."""
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(rounded(value))
    if isinstance(value, Mapping):
        rows = [{"name": str(name), "value": text_of(found)} for name, found in value.items()]
        return table(rows, {"name": "string", "value": "string"})
    return dg.MetadataValue.text(text_of(value))


def text_of(value: Any) -> str:
    """A value of JSON as one line."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{rounded(value):g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text_of(found)}" for name, found in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(text_of(found) for found in value) or "none"
    return str(value)


def rounded(value: float) -> float:
    """Four significant digits, and all digits before the point."""
    return float(f"{value:.4g}") if abs(value) < 1000 else round(value, 1)


def check_spec(asset: str, name: str, function: Callable[..., CheckResult], blocking: bool = True) -> dg.AssetCheckSpec:
    """A check described by the first line of the function's docstring; a blocking one stops what comes after."""
    sentence = (function.__doc__ or "").strip().splitlines()[0]
    return dg.AssetCheckSpec(name, asset=asset, blocking=blocking, description=sentence)


def check(name: str, result: CheckResult, blocking: bool = True) -> dg.AssetCheckResult:
    """A check of the asset that returns it; where it stops nothing, its failure is a warning."""
    figures = {key: readable(value) for key, value in result.figures.items()}
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=name, passed=result.passed, description=result.sentence, metadata=figures, severity=severity
    )
