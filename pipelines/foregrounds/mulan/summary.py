"""What the shards of MuLAn's foregrounds hold, for tables."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from pipelines.stages.manifest import Manifest
from pipelines.stages.run import Report
from pipelines.stages.store import Store


@dataclass(frozen=True)
class ShardSummary:
    """What one shard of MuLAn's foregrounds holds, for tables.

    Attributes:
        num_files: number of annotation files read, usable or not.
        num_instances: number of instances in the usable files.
        num_kept: number of instances that became foregrounds.
        drops: reason -> number, files and instances together, most frequent first.
        consistency_error: mean over the files with foregrounds, 0..255; -1 = none of them has one.
    """

    shard: str
    num_files: int
    num_instances: int
    num_kept: int
    drops: dict[str, int]
    consistency_error: float


def shard_summaries(report: Report, store: Store) -> Iterator[ShardSummary]:
    """The summary of each shard of a report, in order."""
    for shard, manifest in report.shards.items():
        yield ShardSummary(
            shard=shard,
            num_files=manifest.counts.get("files", 0),
            num_instances=manifest.counts.get("instances", 0),
            num_kept=manifest.num_rows,
            drops=dict(Counter(drop["reason"] for drop in manifest.drops).most_common()),
            consistency_error=_consistency_error(manifest, store),
        )


def _consistency_error(manifest: Manifest, store: Store) -> float:
    path = f"{manifest.stage}/{manifest.shard}.parquet"
    table = store.read_table(path, ["origin", "consistency_error"]).to_pydict()
    # All instances of a file carry the same error; a file counts once.
    errors = dict(zip(table["origin"], table["consistency_error"], strict=True)).values()
    measured = [error for error in errors if error >= 0]
    return round(fmean(measured), 3) if measured else -1.0
