"""Jobs: which assets are materialized together, and how many steps run at once."""

import dagster as dg

DATA_GROUPS = ("sources", "library", "scenes", "masks", "maps", "shards", "dataset")
TRAINING_GROUPS = ("training",)
EVALUATION_GROUPS = ("evaluation",)

DATASET = dg.define_asset_job(
    "dataset",
    selection=dg.AssetSelection.groups(*DATA_GROUPS),
    description="From photographs to verified training shards with a data card. Finished work is skipped. "
    "Its partitions are the shards; the other assets are made once per run.",
    tags={"stage": "data"},
)
TRAIN = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.groups(*TRAINING_GROUPS),
    description="From the finished dataset and the base's weights to a trained adapter. An interrupted run continues; "
    "where data, recipe and weights are unchanged, nothing is done. For 500 steps, enter in the launchpad: "
    "`ops: {adapter: {config: {changes: {schedule.num_steps: 500}}}}`.",
    tags={"stage": "training"},
)
EVALUATE = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.groups(*EVALUATION_GROUPS),
    description="The present adapter, judged on held-out scenes.",
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
    description="Rows of the table of ablations, one partition each: trained and judged one by one, then the table.",
    tags={"stage": "ablations"},
)
ABLATION_DATA = dg.define_asset_job(
    "ablation_data",
    selection=dg.AssetSelection.groups("ablation_data"),
    description="The scenes without generated foregrounds that one row of the ablations is trained on.",
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
    description="The finished data and what was evaluated on it, in FiftyOne. Only new items are added.",
    tags={"stage": "inspection"},
)
JOBS = [DATASET, TRAIN, EVALUATE, RETRAIN, ABLATION_DATA, ABLATIONS, INSPECT, EVERYTHING]
MAX_CONCURRENT = 2
"""Steps that run at once. Dagster's own default is one for each core of the host, and each step uses all of them."""
PRELOADED = "assets_defs.preloaded"
"""Module that the process which is forked for steps has imported."""


def steps_at_once() -> dg.ExecutorDefinition:
    """The executor that runs each step in a process of its own, with a limit of steps at once."""
    schema = {
        "max_concurrent": dg.Field(
            int,
            default_value=MAX_CONCURRENT,
            is_required=False,
            description="Example: `max_concurrent: 1`. Number of steps at once. Each uses all cores; more help only "
            "where steps wait for a network.",
        )
    }
    start = {"forkserver": {"preload_modules": [PRELOADED]}}
    return dg.multiprocess_executor.configured(
        lambda config: {"max_concurrent": config["max_concurrent"], "start_method": start},
        name="multiprocess",
        config_schema=schema,
    )
