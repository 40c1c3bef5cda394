"""Which assets are out of date, with everything that is built on them, and the run that is requested for them.

Dagster's `RunRequest(stale_assets_only=True)` counts every partitioned asset as fresh (it asks for no partition), and
so would never make a shard; nor does it look past an asset with more than 100 partitions upstream. Hence this module.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg

# There is no public API for this; dagster is pinned to one version, and a test covers all kinds of assets.
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph, BaseAssetNode
from dagster._core.definitions.data_version import (
    DATA_VERSION_TAG,
    SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD,
    CachingStaleStatusResolver,
    StaleStatus,
)
from dagster._core.loader import LoadingContext

from assets_defs.metadata import HOLDS
from assets_defs.plan import LAST_HOLDS

Graph = BaseAssetGraph[Any]
MAX_ASKED = 100
"""Partitions that Dagster is asked about one by one, at most: a tick has a minute, and each costs several queries. More
count as stale; a run that finds them unchanged makes nothing."""


class _Loading(LoadingContext):
    """Loading context of one tick, which caches what was read; Dagster has its own for its web server and its tests."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._loaders: dict[type, Any] = {}

    @property
    def instance(self) -> dg.DagsterInstance:
        """The instance whose records are read."""
        return self._instance

    @property
    def loaders(self) -> dict[type, Any]:
        """The loaders by the type of what they load."""
        return self._loaders


def stale_assets(instance: dg.DagsterInstance, graph: Graph, among: Collection[dg.AssetKey]) -> list[dg.AssetKey]:
    """Assets that are missing or out of date, and what depends on them, in the order of the graph.

    Args:
        among: the assets to look at; no other is returned.
    """
    resolver = CachingStaleStatusResolver(instance, graph, _Loading(instance))
    found: set[dg.AssetKey] = set()
    ordered = [key for layer in graph.toposorted_asset_keys_by_level for key in sorted(layer) if key in among]
    for key in ordered:
        node = graph.get(key)
        if node.parent_keys & found or _is_stale(instance, graph, resolver, node):
            found.add(key)
    return [key for key in ordered if key in found]


def _is_stale(
    instance: dg.DagsterInstance, graph: Graph, resolver: CachingStaleStatusResolver, node: BaseAssetNode
) -> bool:
    if node.partitions_def is None:
        return resolver.get_status(node.key) is not StaleStatus.FRESH or _is_overtaken(instance, graph, node)
    keys = node.partitions_def.get_partition_keys()
    if LAST_HOLDS in node.metadata and _held(instance, node.key, keys[-1]) != node.metadata[LAST_HOLDS]:
        return True
    # One question for all: whether each partition was made at all.
    if not instance.get_materialized_partitions(node.key).issuperset(keys):
        return True
    suspects = _suspects(instance, graph, node, keys)
    if len(suspects) > MAX_ASKED:
        return True
    asked = {*suspects, *_one_of_each_version(instance, node.key, keys)}
    return any(resolver.get_status(node.key, key) is not StaleStatus.FRESH for key in sorted(asked))


def _suspects(instance: dg.DagsterInstance, graph: Graph, node: BaseAssetNode, keys: Sequence[str]) -> list[str]:
    """The partitions that were made before the newest event of the same partition upstream."""
    mine = _last_ids(instance, node.key)
    above = [_last_ids(instance, key) for key in node.parent_keys if graph.get(key).partitions_def is not None]
    return [key for key in keys if any(ids.get(key, 0) > mine[key] for ids in above)]


def _one_of_each_version(instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Sequence[str]) -> Collection[str]:
    """Partitions with all data versions that there are; what Dagster compares, code and inputs, decides a version."""
    found = instance.event_log_storage.get_latest_tags_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    return {found.get(key, {}).get(DATA_VERSION_TAG): key for key in keys}.values()


def _last_ids(instance: dg.DagsterInstance, key: dg.AssetKey) -> Mapping[str, int]:
    """Partition -> id of its newest materialization."""
    made = dg.DagsterEventType.ASSET_MATERIALIZATION
    return instance.event_log_storage.get_latest_storage_id_by_partition(key, made)


def _held(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str) -> object:
    """What a partition held by plan when it was made: a larger number of scenes fills the last one further."""
    chosen = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    for record in instance.fetch_materializations(chosen, limit=1).records:
        if record.asset_materialization is not None and HOLDS in record.asset_materialization.metadata:
            return record.asset_materialization.metadata[HOLDS].value
    return None


def _is_overtaken(instance: dg.DagsterInstance, graph: Graph, node: BaseAssetNode) -> bool:
    """Whether one of many partitions upstream was made after this asset was."""
    mine = _last_id(instance, node.key)
    for key in node.parent_keys:
        parent = graph.get(key).partitions_def
        many = parent is not None and len(parent.get_partition_keys()) >= (
            SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD
        )
        if many and _last_id(instance, key) > mine:
            return True
    return False


def _last_id(instance: dg.DagsterInstance, key: dg.AssetKey) -> int:
    records = instance.fetch_materializations(key, limit=1).records
    return records[0].storage_id if records else 0


RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
WRITERS = ("dataset", "train", "evaluate", "retrain", "everything")
"""Names of jobs that write what a schedule looks at."""
IN_PROGRESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def selected(graph: Graph, groups: Sequence[str]) -> set[dg.AssetKey]:
    """Keys of the assets in some groups that can be materialized; observed inputs are left out."""
    return {key for key in graph.materializable_asset_keys if graph.get(key).group_name in groups}


def running(instance: dg.DagsterInstance) -> str | None:
    """A sentence that names a queued or running run whose results are not there yet; None when there is none."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS)):
        run = record.dagster_run
        if run.job_name in WRITERS or run.job_name.startswith("__ASSET_JOB"):
            return f"run {run.run_id[:8]} ({run.job_name}) is {run.status.value.lower()}; the next tick looks again"
    return None


def request_for(
    instance: dg.DagsterInstance, graph: Graph, groups: Sequence[str], trigger: str
) -> dg.RunRequest | dg.SkipReason:
    """A request for a run of everything stale in these groups, over all shards; finished shards cost nothing in it.

    Args:
        trigger: what the run is requested by, for its tag.
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
