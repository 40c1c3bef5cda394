"""What engines cost and gain: two workers to one, whole shards to items, Ray's share, memory; the simulated cluster.

    python benchmarks/bench_engine.py [--size-px 512] [--shards 8] [--scenes 8] [--rounds 3] [--only speed,memory]

`--only` takes speed, memory, plan and cluster, which are all of it.

Scenes of the demo's packaged sources. Each engine runs in turn in every round, each in a process of its own, so that
what the machine does meanwhile meets all of them; figures are medians of ratios within a round. Wall time is a stage's,
with the start of its pool of processes, but without the start of Ray (`start_s`). What two cores give at most is
measured beside it: two serial runs at once, in roots of their own, against one (`machine_two_to_one`). Needs two cores,
and Ray for its figures.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.cluster_model import Cluster, simulate
from benchmarks.simulate_cluster import read_root
from pipelines.config import EngineConfig
from pipelines.engines import make_engine
from pipelines.factory import Factory
from pipelines.stages import engine as engines
from pipelines.stages.ray_engine import RayEngine
from pipelines.stages.run import Report, run_stage
from pipelines.stages.stage import Stage
from pipelines.stages.store import Store
from profiles.profile import load_profile

ENGINES = ("items-1", "items-2", "shards-1", "shards-2", "ray-1", "ray-2")
SERIAL = "serial-1"
NUM_NODES = 3


def factory_at(root: str, size_px: int, num_shards: int, per_shard: int) -> Factory:
    """The demo with scenes of another size, in so many shards."""
    overrides = {
        "scenes.size_px": str(size_px),
        "scenes.num_scenes": str(num_shards * per_shard),
        "scenes.scenes_per_shard": str(per_shard),
        "engine.kind": "serial",
    }
    overrides |= {"scenes.size.max_enlargement": "4.0", "scenes.max_background_enlargement": "4.0"}
    return Factory(load_profile("demo", root, overrides), Store(root))


def run_once(name: str, root: str, size_px: int, num_shards: int, per_shard: int) -> dict[str, float]:
    """Scenes and masks by one engine, in this process, whose memory above its start is measured."""
    kind, _, workers = name.partition("-")
    engines.SHARDS_PER_WORKER = 1 if kind == "shards" else 1 << 30
    factory = factory_at(root, size_px, num_shards, per_shard)
    settings = EngineConfig(kind=kind if kind in ("serial", "ray") else "process", workers=int(workers))
    engine = make_engine(settings)
    for stage in (factory.scenes, factory.masks):
        factory.store.remove(stage.name)
    started = time.perf_counter()
    if kind == "ray":
        assert isinstance(engine, RayEngine)
        engine.connect()
    list(engine.map(str, range(2 * int(workers))))
    start_s = time.perf_counter() - started
    before_kb = _memory_kb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # The peak is counted from here.
    reports: list[Report] = [run_stage(stage, factory.store, engine) for stage in (factory.scenes, factory.masks)]
    seconds = sum(report.seconds for report in reports)
    made_s = sum(manifest.seconds for report in reports for manifest in report.shards.values())
    return {
        "seconds": seconds,
        "start_s": start_s,
        "overhead_s_per_shard": (seconds * int(workers) - made_s) / (2 * num_shards),
        "memory_above_start_mib": (_memory_kb("VmHWM") - before_kb) / 1024,
    }


def _memory_kb(name: str) -> float:
    """VmRSS: what this process has now; VmHWM: the most it had since the peak was reset."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def speed(arguments: argparse.Namespace) -> dict[str, float]:
    """Ratios of wall time within rounds, by engine; overheads in seconds a shard."""
    names = [name for name in ENGINES if not name.startswith("ray") or find_spec("ray")]
    rounds: list[dict[str, dict[str, float]]] = []
    machine: list[float] = []
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        _library(folder, arguments)
        shutil.copytree(folder, other, dirs_exist_ok=True)
        for number in range(arguments.rounds):
            # In another order each time.
            order = names[number % len(names) :] + names[: number % len(names)]
            rounds.append({name: _apart(name, folder, arguments) for name in order})
            alone_s = _apart(SERIAL, folder, arguments)["seconds"]
            with ThreadPoolExecutor() as pair:
                both = list(pair.map(lambda root: _apart(SERIAL, root, arguments)["seconds"], (folder, other)))
            machine.append(2 * alone_s / max(both))
    kinds = dict.fromkeys(name.partition("-")[0] for name in names)
    found: dict[str, float] = {"machine_two_to_one": statistics.median(machine)}
    for kind in kinds:
        ratios = [one[f"{kind}-1"]["seconds"] / one[f"{kind}-2"]["seconds"] for one in rounds]
        found[f"{kind}_two_workers_to_one"] = statistics.median(ratios)
    for name in names:
        for figure in rounds[0][name]:
            found[f"{name}_{figure}"] = statistics.median(one[name][figure] for one in rounds)
    found["shards_to_items_of_two_workers"] = statistics.median(
        one["items-2"]["seconds"] / one["shards-2"]["seconds"] for one in rounds
    )
    return found


def memory(arguments: argparse.Namespace) -> dict[str, float]:
    """Peak memory of the process that runs the stage above its start, in MiB, by engine and number of small shards."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        _library(folder, arguments)
        for kind in ("shards", "ray", "items"):
            for num_shards in (8, 50, 200):
                if kind != "ray" or find_spec("ray"):
                    small = argparse.Namespace(size_px=128, shards=num_shards, scenes=2)
                    figures = _apart(f"{kind}-2", folder, small)
                    found[f"{kind}_memory_mib_at_{num_shards}_shards"] = figures["memory_above_start_mib"]
    return found


def plan(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds and MiB up to the first shard of 1,000,000 scenes in 2,000 shards."""

    class Begun(Exception):
        pass

    class First:
        """An engine that ends the run when the first shard is to begin."""

        def shard_workers(self, num_shards: int, keeps_weights: bool) -> "First":
            return self

        def check(self, look: Any) -> None:
            """Nobody else takes part."""

        def map(self, task: Any, items: Any) -> Any:
            next(iter(items))
            raise Begun
            yield

    with tempfile.TemporaryDirectory() as folder:
        _library(folder, arguments)
        factory = factory_at(folder, 128, 2000, 500)
        before_kb, started = _memory_kb("VmRSS"), time.perf_counter()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        with suppress(Begun):
            run_stage(factory.scenes, factory.store, First())
        seconds = time.perf_counter() - started
    return {"plan_of_2000_shards_s": seconds, "plan_of_2000_shards_mib": (_memory_kb("VmHWM") - before_kb) / 1024}


def cluster(arguments: argparse.Namespace) -> dict[str, float]:
    """Three nodes of Ray on this machine against the simulated cluster, fed with that run's times of single shards."""
    import ray
    from ray.cluster_utils import Cluster as Nodes

    with tempfile.TemporaryDirectory() as folder:
        _library(folder, arguments)
        factory = factory_at(folder, arguments.size_px, arguments.shards, arguments.scenes)
        stages: list[Stage] = [factory.scenes, factory.masks, factory.maps["edges"]]
        nodes = Nodes()
        try:
            for _ in range(NUM_NODES):
                options = {"include_dashboard": False, "object_store_memory": 100 << 20}
                nodes.add_node(num_cpus=1, dashboard_agent_listen_port=0, **options)
            engine = make_engine(EngineConfig(kind="ray", address=nodes.address))
            run_stage(factory.scenes, factory.store, engine)  # The nodes' workers have then imported what they need.
            for stage in stages:
                factory.store.remove_tree(stage.name)
            reports = [run_stage(stage, factory.store, engine) for stage in stages]
        finally:
            ray.shutdown()
            nodes.shutdown()
        loads = read_root(Path(folder), requests={"reads": 0, "writes": 0})
    foreseen = simulate(
        [load for load in loads if load.name in {stage.name for stage in stages}],
        Cluster(nodes=NUM_NODES, start_s=0.0, latency_s=0.0),
    )
    found = {f"ray_nodes_{report.stage}_s": report.seconds for report in reports}
    found |= {f"simulated_to_ray_{name}": s / found[f"ray_nodes_{name}_s"] for name, s in foreseen.stage_s.items()}
    measured_s = sum(report.seconds for report in reports)
    return found | {"simulated_to_ray": foreseen.makespan_s / measured_s}


def _library(folder: str, arguments: argparse.Namespace) -> None:
    """Put the demo's library into a root: of another root, where one is given, else made anew."""
    if arguments.library:
        for name in ("backgrounds", "foregrounds", "library", "sources"):
            shutil.copytree(Path(arguments.library, name), Path(folder, name))
            if (mark := Path(arguments.library, f"{name}.complete")).exists():
                shutil.copy(mark, folder)
    else:
        factory_at(folder, 128, 1, 1).make_library()


def _apart(name: str, root: str, arguments: argparse.Namespace) -> dict[str, float]:
    sizes = (str(arguments.size_px), str(arguments.shards), str(arguments.scenes))
    command = [sys.executable, __file__, "--one", name, root, *sizes]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    print(f"{name:10} {arguments.shards:4} shards {figures}", file=sys.stderr)
    return figures


def main() -> None:
    """Print the figures, one per line or as one JSON object."""
    if sys.argv[1:2] == ["--one"]:
        name, root, *sizes = sys.argv[2:]
        print(json.dumps(run_once(name, root, *map(int, sizes))))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-px", type=int, default=512)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--scenes", type=int, default=8, help="of a shard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--library", default="", help="root of the demo whose library is taken, instead of a new one")
    parser.add_argument("--only", default="speed,memory,plan,cluster")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    for name in arguments.only.split(","):
        figures |= {"speed": speed, "memory": memory, "plan": plan, "cluster": cluster}[name](arguments)
    figures = {name: round(value, 3) for name, value in figures.items()}
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name:44} {figures[name]}" for name in figures))


if __name__ == "__main__":
    main()
