"""Jobs: what is materialized together."""

import dagster as dg

DATA_GROUPS = ("sources", "library", "scenes", "masks", "maps", "shards", "dataset")
TRAINING_GROUPS = ("training",)
EVALUATION_GROUPS = ("evaluation",)

DATASET = dg.define_asset_job(
    "dataset",
    selection=dg.AssetSelection.groups(*DATA_GROUPS),
    description="From photographs to verified training shards with a data card. Finished work is skipped. "
    "Its partitions are the shards; the other assets are made once a run.",
    tags={"stage": "data"},
)
TRAIN = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.groups(*TRAINING_GROUPS),
    description="From the finished dataset and the base's weights to a trained adapter. An interrupted run goes on; "
    "with nothing new to learn from, nothing is done.",
    tags={"stage": "training"},
)
EVALUATE = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.groups(*EVALUATION_GROUPS),
    description="The adapter that is there, judged on held-out scenes.",
    tags={"stage": "evaluation"},
)
RETRAIN = dg.define_asset_job(
    "retrain",
    selection=dg.AssetSelection.groups(*TRAINING_GROUPS, *EVALUATION_GROUPS),
    description="From the finished dataset to a judged adapter, promoted or refused. What `weekly_retrain` runs.",
    tags={"stage": "retrain"},
)
ABLATIONS = dg.define_asset_job(
    "ablate",
    selection=dg.AssetSelection.groups("ablations"),
    description="Rows of the table of ablations: its partitions. Each is trained and judged, then the table is made.",
    tags={"stage": "ablations"},
)
EVERYTHING = dg.define_asset_job(
    "everything",
    selection=dg.AssetSelection.groups(*DATA_GROUPS, *TRAINING_GROUPS, *EVALUATION_GROUPS),
    description="From photographs to a judged adapter. Its partitions are the shards, and a run takes all of them.",
    tags={"stage": "all"},
)
INSPECT = dg.define_asset_job(
    "inspect",
    selection=dg.AssetSelection.groups("inspection"),
    description="The finished data and what was evaluated on it, in FiftyOne. Only what is new enters.",
    tags={"stage": "inspection"},
)
JOBS = [DATASET, TRAIN, EVALUATE, RETRAIN, ABLATIONS, INSPECT, EVERYTHING]
