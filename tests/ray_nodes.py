"""Ray clusters of several machines, all of them this one, for tests."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

STORE_BYTES = 80 << 20


@contextmanager
def cluster(*num_cpus: int, num_gpus: int = 0) -> Iterator[Any]:
    """A cluster with a machine for each number of cores; GPUs are claimed by the last one, and are none."""
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    # Paths of sockets are short, so the folder of a test will not do.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.environ |= {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
        made = Cluster()
        try:
            for i, cpus in enumerate(num_cpus):
                gpus = num_gpus if i == len(num_cpus) - 1 else 0
                add(made, cpus, gpus)
            made.wait_for_nodes()
            yield made
        finally:
            ray.shutdown()
            made.shutdown()
            del os.environ["RAY_TMPDIR"]


def add(made: Any, num_cpus: int, num_gpus: int = 0) -> Any:
    """Another machine of a cluster."""
    options = {"include_dashboard": False, "object_store_memory": STORE_BYTES, "dashboard_agent_listen_port": 0}
    return made.add_node(num_cpus=num_cpus, num_gpus=num_gpus, **options)
