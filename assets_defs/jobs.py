"""Jobs: what is materialized together."""

from collections.abc import Sequence

import dagster as dg


def dataset_job(assets: Sequence[dg.AssetsDefinition]) -> dg.UnresolvedAssetJobDefinition:
    """Everything from the sources to the dataset. Its partitions are the shards."""
    return dg.define_asset_job(
        "dataset",
        selection=dg.AssetSelection.assets(*assets),
        description="From photographs to verified training shards with a data card. Finished work is skipped.",
        tags={"stage": "data"},
    )
