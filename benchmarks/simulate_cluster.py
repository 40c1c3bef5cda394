"""How long a run takes on a cluster, from times of single shards that were measured.

    python benchmarks/simulate_cluster.py ROOT [--shards 2000] [--nodes 1 3 10 100] [--workers 16] [--json]
    python benchmarks/simulate_cluster.py TIMES.json ...

ROOT is the folder of a run: times and bytes are those of its shards' manifests, where `seconds` is what the worker
took, reading and writing included (so give `--node-mb-per-s` and `--latency-s` for a store that is slower than that
run's own). TIMES.json holds `{"STAGE": {"seconds": [...], "read_mb": ..., "write_mb": ..., "reads": ..., "writes":
...}, ...}`, in the order of the stages. Prints a row for each number of nodes; with `--json` one JSON object.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.cluster_model import Cluster, Load, Outcome, simulate

STAGES: tuple[str, ...] = ("foregrounds/mulan", "foregrounds/generated", "backgrounds")
STAGES += ("scenes", "masks", "edges", "segmentation", "depth", "shards")
REQUESTS = {"reads": 4, "writes": 5}
"""Of one shard, where nothing else is known: inputs and their manifests; lease, tar, index, manifest, release."""
SETTINGS = [one for one in fields(Cluster) if one.name not in ("nodes", "workers")]


def read_root(root: Path, requests: dict[str, int] = REQUESTS) -> list[Load]:
    """The stages of a run, from the manifests in its folder; what a stage reads is what the stages before it wrote.

    Raises:
        ValueError: it holds no manifest.
    """
    loads: list[Load] = []
    written: dict[str, float] = {}
    for stage in STAGES:
        manifests = [json.loads(path.read_bytes()) for path in sorted((root / stage).glob("[0-9]*.json"))]
        if manifests:
            write_mb = sum(manifest["num_bytes"] for manifest in manifests) / len(manifests) / 1e6
            sources = {"masks": ["scenes"], "edges": ["scenes"], "segmentation": ["scenes"], "depth": ["scenes"]}
            sources |= {"shards": ["scenes", "masks", "edges", "segmentation", "depth"]}
            read_mb = sum(written.get(source, 0.0) for source in sources.get(stage, []))
            seconds = tuple(float(manifest["seconds"]) for manifest in manifests)
            loads.append(Load(stage, len(manifests), seconds, read_mb, write_mb, **requests))
            written[stage] = write_mb
    if not loads:
        raise ValueError(f"{root} holds no manifest of any stage ({', '.join(STAGES)}): make scenes there first")
    return loads


def read_times(path: Path) -> list[Load]:
    """The stages that a JSON file names.

    Raises:
        ValueError: it is no such JSON.
    """
    try:
        listed: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
        return [
            Load(name, **{"num_shards": len(values["seconds"]), **values, "seconds": tuple(values["seconds"])})
            for name, values in listed.items()
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: stages with `seconds` were expected ({error!r})") from error


def table(outcomes: dict[int, Outcome], workers: int) -> str:
    """A row for each number of nodes."""
    lines = [
        f"{'nodes':>5} {'workers':>7} {'hours':>9} {'busy':>6} {'again':>6} {'lost':>5} {'requests':>10} {'GB':>9}"
    ]
    for nodes, out in outcomes.items():
        gigabytes = (out.read_mb + out.written_mb) / 1000
        lines.append(
            f"{nodes:5} {nodes * workers:7} {out.makespan_s / 3600:9.2f} {out.utilisation:6.1%} {out.retries:6} "
            f"{out.failures:5} {out.requests:10,} {gigabytes:9,.0f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read times, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("times", type=Path, metavar="ROOT or TIMES.json")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 3, 10, 100])
    parser.add_argument("--workers", type=int, default=16, help="on each node")
    parser.add_argument("--shards", type=int, help="of each stage; as many as there are times, if not given")
    parser.add_argument("--stages", nargs="+", help="only these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    for one in SETTINGS:
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=float, default=one.default)
    asked = parser.parse_args(arguments)
    try:
        loads = read_root(asked.times) if asked.times.is_dir() else read_times(asked.times)
        loads = [load for load in loads if not asked.stages or load.name in asked.stages]
        if asked.shards:
            loads = [replace(load, num_shards=asked.shards) for load in loads]
        settings = {one.name: getattr(asked, one.name) for one in SETTINGS}
        outcomes = {
            nodes: simulate(loads, Cluster(nodes=nodes, workers=asked.workers, **settings), asked.seed)
            for nodes in asked.nodes
        }
    except (OSError, ValueError, RuntimeError) as error:
        parser.error(str(error))
    if asked.json:
        print(json.dumps({"workers": asked.workers, "nodes": {n: asdict(out) for n, out in outcomes.items()}}))
    else:
        print(table(outcomes, asked.workers))


if __name__ == "__main__":
    main()
