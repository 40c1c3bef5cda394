"""A Ray cluster of several nodes on this machine, started as on several machines: one `ray start` a node.

Ray listens on this machine's own address even where it is told 127.0.0.1, so the cluster has a token, without which it
obeys nobody.
"""

import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from decoupage.faults import BadSetup
from deploy.cluster_demo.processes import Programs, free_port
from deploy.cluster_demo.s3 import CLIENT

NODE = "ray-node-"
"""Names of the nodes, with their number."""
OBJECT_STORE_BYTES = 100 * 1024 * 1024
"""Of each node, for objects in transit; only manifests travel. By default Ray takes a third of the memory."""
_START_S = 120.0
_TRIES = 3
_PORTS = (
    "object-manager-port",
    "node-manager-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
"""Ports that a second node, or a second cluster, of this machine would also take by default."""


@contextmanager
def ray_cluster(programs: Programs, environment: Mapping[str, str], num_nodes: int) -> Iterator[dict[str, str]]:
    """Context with a running cluster of one core a node; gives the variables by which a program finds it.

    Args:
        environment: of the workers: they run what they are sent, and need what it needs.

    Raises:
        BadSetup: a node does not start.
    """
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    # Short: Ray puts sockets into it, whose paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name, ExitStack() as nodes:
        folder = Path(name)
        for number in range(num_nodes):
            options = partial(_worker if number else _head, folder)
            nodes.enter_context(_node(programs, f"{NODE}{number}", options, {**environment, **token}))
        yield {**token, "RAY_ADDRESS": _address(folder)}


def _head(folder: Path) -> list[str]:
    options = ["--head", f"--port={free_port()}", f"--ray-client-server-port={free_port()}"]
    return [*options, f"--temp-dir={folder}", "--include-dashboard=false"]


def _worker(folder: Path) -> list[str]:
    return [f"--address={_address(folder)}"]


@contextmanager
def _node(
    programs: Programs, name: str, options: Callable[[], list[str]], environment: Mapping[str, str]
) -> Iterator[None]:
    """Context with a running node. Ray gives one 30 s to start, so on a busy machine it is tried again."""
    line = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    line += ["--num-cpus=1", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    for left in reversed(range(_TRIES)):
        ports = [f"--{kind}={free_port()}" for kind in _PORTS]
        with programs.running(name, [*line, *options(), *ports], {**environment, CLIENT: name}) as process:
            try:
                programs.wait(name, process, partial(_has_joined, programs.log(name)), _START_S)
            except BadSetup:
                if not left:
                    raise
                continue
            yield
            return


def _has_joined(log: Path) -> bool:
    return "--block" in log.read_text(errors="replace")


def _address(folder: Path) -> str:
    """Where the head listens: of this machine's addresses the one that Ray chose."""
    return (folder / "ray_current_cluster").read_text().strip()
