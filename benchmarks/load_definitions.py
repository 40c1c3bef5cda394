"""Definitions for `bench_load.py records`: an asset that makes nothing, with events as large as true ones."""

import os

import dagster as dg

from assets_defs.metadata import counts_table, histogram_table, picture

NUM_PARTITIONS = int(os.environ.get("NUM_PARTITIONS", "2000"))
PREVIEW = bytes(range(256)) * 60
"""As many bytes as a shard's preview has, 15 kB."""


@dg.asset(
    partitions_def=dg.StaticPartitionsDefinition([f"{i:05d}" for i in range(NUM_PARTITIONS)]),
    backfill_policy=dg.BackfillPolicy.multi_run(50),
    code_version="1",
)
def edge_maps(context: dg.AssetExecutionContext) -> None:
    """Attaches figures, a table, a histogram and a picture to each partition."""
    for key in context.partition_keys:
        metadata = {
            "items": dg.MetadataValue.int(500),
            "dagster/partition_row_count": dg.MetadataValue.int(1000),
            "counts": counts_table({"attempts": 700, "rejected": 200}, "what"),
            "areas": histogram_table([0.1 * i for i in range(100)], (1.0, 2.0, 5.0)),
            "preview": picture(PREVIEW),
        }
        context.add_asset_metadata(metadata, partition_key=key)


defs = dg.Definitions([edge_maps], executor=dg.in_process_executor)
