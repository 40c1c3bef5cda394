"""Jobs: what is materialized together."""

import dagster as dg

DATA_GROUPS = ("sources", "library", "scenes", "maps", "shards", "dataset")

DATASET = dg.define_asset_job(
    "dataset",
    selection=dg.AssetSelection.groups(*DATA_GROUPS),
    description="From photographs to verified training shards with a data card. Finished work is skipped. "
    "Its partitions are the shards; the other assets are made once a run.",
    tags={"stage": "data"},
)
