"""Which assets are out of date, and everything that is built on them.

Dagster's `RunRequest(stale_assets_only=True)` counts every partitioned asset as fresh (it asks for no partition), and
so would never make a shard; nor does it look past an asset with more than 100 partitions upstream. Hence this.
"""

from collections.abc import Collection
from typing import Any

import dagster as dg

# No public way to ask; dagster is pinned to one version, and a test asks all kinds of questions.
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph, BaseAssetNode
from dagster._core.definitions.data_version import (
    SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD,
    CachingStaleStatusResolver,
    StaleStatus,
)
from dagster._core.loader import LoadingContext

Graph = BaseAssetGraph[Any]


class _Loading(LoadingContext):
    """What was read in one tick; Dagster has such a thing for its web server and for its own tests."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._loaders: dict[type, Any] = {}

    @property
    def instance(self) -> dg.DagsterInstance:
        """Where events are."""
        return self._instance

    @property
    def loaders(self) -> dict[type, Any]:
        """By what they load."""
        return self._loaders


def stale_assets(instance: dg.DagsterInstance, graph: Graph, among: Collection[dg.AssetKey]) -> list[dg.AssetKey]:
    """Assets that are missing or out of date, and what depends on them, in the order of the graph.

    Args:
        among: the others are neither looked at nor returned.
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
    # One question for all: whether each partition was made at all.
    if not instance.get_materialized_partitions(node.key).issuperset(keys):
        return True
    return any(resolver.get_status(node.key, key) is not StaleStatus.FRESH for key in keys)


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
