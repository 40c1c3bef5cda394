"""The Ray cluster that a process works on: joining it, or starting one of this machine's own; its machines.

A Ray that was started here ends with this process; a cluster is left as it was found.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from decoupage.faults import BadSetup
from pipelines.stages.ray_address import LOCAL

log = logging.getLogger(__name__)
_ANSWER_WITHIN_S = 120.0
_OBJECT_STORE_BYTES = 256 << 20
"""Of a Ray that is started here: what passes through it is small."""


@dataclass(frozen=True)
class Node:
    """A machine of a cluster.

    Attributes:
        id: Ray's; name: its address, for people.
    """

    id: str
    name: str
    num_cpus: int
    num_gpus: float


def connect(address: str, workers: int) -> list[Node]:
    """The machines that can work; the first call of a process joins the cluster, or starts one.

    Args:
        workers: cores of one that is started; 0 = those of this machine.

    Raises:
        BadSetup: the cluster runs another Ray or Python, does not let us in, or cannot be joined from here.
    """
    import ray

    if not ray.is_initialized():
        with _sigterm_kept():
            _init(address, workers)
    return nodes_of()


def _look(look: Callable[[], str]) -> str:
    return look()


def ask(nodes: Iterable[Node], look: Callable[[], str]) -> Iterator[tuple[Node, str]]:
    """What each machine says of itself, asked side by side; empty where nothing is wrong."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = {node: NodeAffinitySchedulingStrategy(node.id, soft=False) for node in nodes}
    asked = {
        node: ray.remote(_look).options(num_cpus=0, max_retries=1, scheduling_strategy=place).remote(look)
        for node, place in there.items()
    }
    for node, reference in asked.items():
        try:
            yield node, ray.get(reference, timeout=_ANSWER_WITHIN_S)
        except ray.exceptions.GetTimeoutError:
            yield node, f"it did not answer within {_ANSWER_WITHIN_S:.0f} s; see the logs of Ray there"
        except ray.exceptions.RayError as error:
            if node.id not in {there.id for there in nodes_of()}:
                continue  # It has left meanwhile.
            lack = f"it cannot run decoupage ({last_line(error)})"
            yield node, f"{lack}: install the same commit with its extra `ray` there, and restart Ray"


def nodes_of() -> list[Node]:
    """The machines of the cluster that have a core to work on."""
    import ray

    return [
        Node(
            found["NodeID"],
            f"{found['NodeManagerAddress']} ({found['NodeID'][:6]})",
            int(found["Resources"].get("CPU", 0)),
            float(found["Resources"].get("GPU", 0.0)),
        )
        for found in ray.nodes()
        if found["Alive"] and found["Resources"].get("CPU", 0) >= 1
    ]


def _init(address: str, workers: int) -> None:
    import ray

    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        num_cpus = workers or len(os.sched_getaffinity(0))
        options |= {"num_cpus": num_cpus, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    # Ray prints of lost workers to standard output, where `--json` puts its object. The engine tells of them.
    ray._private.worker.print_to_stdstream = _print_nothing  # noqa: SLF001
    log.info("%s", "starting Ray on this machine" if address == LOCAL else f"joining Ray at {address}")
    try:
        ray.init(**options)
    except Exception as error:  # Ray raises plain ones, too.
        told = " ".join(str(error).split())
        if address == LOCAL:
            raise BadSetup(
                f"Ray could not be started on this machine ({told}): it may be too busy, or lack memory or disk; "
                'run again, name a cluster in engine.address, or set engine.kind = "process"'
            ) from error
        if "ersion mismatch" in told:
            raise BadSetup(
                f"Ray at {address} is of another version, or runs on another Python ({told}): install the versions of "
                "constraints.txt on all machines"
            ) from error
        raise BadSetup(
            f"Ray at {address} cannot be joined ({told}): run this on a machine of the cluster (`ray start "
            "--address` joins it), with the cluster's token where it asks for one (RAY_AUTH_TOKEN)"
        ) from error


def _print_nothing(data: Any, ignore_prefix: bool) -> None:
    """Stands in for Ray's printer, which would write between the lines of our own output."""


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray's start puts a handler of its own in the place of the one that Dagster cancels a step by."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def last_line(error: BaseException) -> str:
    """What an error of Ray says in the end, after its tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
