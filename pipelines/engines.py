"""The engine that a profile names, and what it requires: of Ray, that it answers and its machines can make shards."""

import os
from importlib.util import find_spec

from decoupage.faults import BadSetup
from decoupage.requirements import Requirement, install_line
from pipelines.config import EngineConfig
from pipelines.stages.engine import Engine, ProcessEngine, SerialEngine
from pipelines.stages.looking import looking
from pipelines.stages.store import Store

_STAGES = "pipelines.factory"
"""The module that imports the code of all stages."""


def make_engine(config: EngineConfig) -> Engine:
    """The engine that a profile names; `workers = 0` means one worker for each core available to this process.

    Raises:
        BadSetup: Ray is not installed, or nothing listens at its address.
    """
    if config.kind == "serial":
        return SerialEngine()
    if config.kind == "process":
        return ProcessEngine(config.workers or len(os.sched_getaffinity(0)), imports=[_STAGES])
    from pipelines.stages.ray_engine import RayEngine

    return RayEngine(config.workers, config.address, config.gpus_per_actor)


def requirements(config: EngineConfig, store: Store) -> list[Requirement]:
    """Nothing for one machine; of Ray the package, the cluster, and each of its machines: its code and the root.

    A cluster is joined for it, and a file is put at the root for its machines to find, and removed.
    """
    if config.kind != "ray":
        return []
    if find_spec("ray") is None:
        return [Requirement("package ray", False, "not installed", install_line("ray"))]
    from pipelines.stages.ray_address import LOCAL
    from pipelines.stages.ray_cluster import ask
    from pipelines.stages.ray_engine import RayEngine

    try:
        engine = RayEngine(config.workers, config.address, config.gpus_per_actor)
        if engine.address == LOCAL:
            return [Requirement("cluster", True, "none is named: a Ray of this machine is started for each run", "")]
        nodes = engine.connect()
        with looking(store) as look:
            said = list(ask(nodes, look))
    except BadSetup as fault:
        return [Requirement("cluster", False, str(fault), "docs/engines.md")]
    num_cpus, most_gpus = sum(node.num_cpus for node in nodes), max((node.num_gpus for node in nodes), default=0.0)
    found = f"{len(nodes)} machines at {engine.address}, {num_cpus} cores, at most {most_gpus:g} GPUs on one"
    return [
        Requirement("cluster", bool(num_cpus), found, "add a machine, or start Ray there with --num-cpus"),
        _room("engine.workers", config.workers, num_cpus, "lower it, or set it to 0 for as many as there are"),
        _room("engine.gpus_per_actor", config.gpus_per_actor, most_gpus, "set it to 0 to compute networks on cores"),
        *(
            Requirement(
                f"machine {node.name}",
                not wrong,
                wrong or "the same code and packages, and it sees the root",
                "docs/engines.md",
            )
            for node, wrong in said
        ),
    ]


def _room(name: str, wanted: float, there: float, fix: str) -> Requirement:
    return Requirement(name, wanted <= there, f"{wanted:g} of {there:g}", fix)
