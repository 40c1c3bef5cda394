"""Run requests for what is stale, and reasons to ask for nothing."""

from collections.abc import Sequence

import dagster as dg

from assets_defs.automation.stale import Graph, stale_assets

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
WRITERS = ("dataset", "train", "evaluate", "retrain", "everything")
"""Jobs that write what a schedule looks at."""
IN_PROGRESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def selected(graph: Graph, groups: Sequence[str]) -> set[dg.AssetKey]:
    """Assets of groups that can be made; inputs are only looked at."""
    return {key for key in graph.materializable_asset_keys if graph.get(key).group_name in groups}


def running(instance: dg.DagsterInstance) -> str | None:
    """A sentence when a run is at work or waits, whose results one would not see yet."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS)):
        run = record.dagster_run
        if run.job_name in WRITERS or run.job_name.startswith("__ASSET_JOB"):
            return f"run {run.run_id[:8]} ({run.job_name}) is {run.status.value.lower()}; the next tick looks again"
    return None


def request_for(
    instance: dg.DagsterInstance, graph: Graph, groups: Sequence[str], trigger: str
) -> dg.RunRequest | dg.SkipReason:
    """A run of everything in these groups that is stale, over all shards; finished shards cost nothing there.

    Args:
        trigger: why, for the run's tag.
    """
    stale = stale_assets(instance, graph, selected(graph, groups))
    if not stale:
        return dg.SkipReason("nothing is stale: inputs, recipes and results are as they were")
    tags = {"decoupage/trigger": trigger, "decoupage/stale": str(len(stale))}
    partitions = next((parts for key in stale if (parts := graph.get(key).partitions_def)), None)
    if partitions is not None:
        keys = partitions.get_partition_keys()
        tags |= {RANGE_START: keys[0], RANGE_END: keys[-1]}
    return dg.RunRequest(asset_selection=stale, tags=tags)
