"""How Dagster and the dataset bear thousands of shards: time, memory, and how fast the UI answers meanwhile.

    python benchmarks/bench_load.py definitions [--shards 20000] [--per-partition 10]
    python benchmarks/bench_load.py backfill [--shards 2000] [--per-partition 1] [--instance FILE]
    python benchmarks/bench_load.py records [--shards 2000] [--writers 4] [--instance FILE]
    python benchmarks/bench_load.py memory [--shards 500] [--per-run 10]
    python benchmarks/bench_load.py dataset [--shards 2000] [--scenes-per-shard 500]

`definitions` loads the code location and asks what a tick of `nightly_data` asks. `backfill` makes the edges of tiny
scenes through a real daemon, and meanwhile asks a real web server what the UI asks; `--instance` is a `dagster.yaml`,
e.g. deploy/dagster.postgres.yaml with its variables set, else SQLite. `records` writes the records of such a backfill
alone, by some processes at once, which needs neither daemon nor scenes. `memory` materializes partitions one after
another in one process. `dataset` makes the tables and figures of a dataset of made-up shards. Each prints one JSON
object. `--folder` keeps the made-up shards for another run.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import httpx2
import pyarrow as pa
import pyarrow.parquet as pq

from assets_defs.automation.stale import RANGE_END, RANGE_START, stale_assets
from assets_defs.definitions import build_defs
from assets_defs.metadata import HOLDS
from assets_defs.plan import LAST_HOLDS, Plan
from assets_defs.shards import shard_assets
from pipelines.factory import Factory
from pipelines.scenes.read import key_of, spans, suffix_of
from pipelines.stages.manifest import Manifest, read_manifest
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import TarWriter
from profiles.profile import load_profile

CHECKOUT = Path(__file__).parents[1]
ASSET, MADE = "edge_maps", "edges"
"""What the measurements materialize, and its folder."""
TINY = {
    "scenes.size_px": "64",
    "generated.prompts_per_category": "1",
    "generated.size_px": "160",
    "engine.kind": "serial",
}
QUERIES = {
    "runs": """query { runsOrError(limit: 26) { ... on Runs { results {
        runId status creationTime startTime endTime jobName tags { key value } assetSelection { path } } } } }""",
    "partitions": f"""query {{ assetNodes(assetKeys: [{{path: ["{ASSET}"]}}]) {{ partitionKeys
        partitionStats {{ numMaterialized numPartitions numFailed numMaterializing }}
        assetPartitionStatuses {{ ... on DefaultPartitionStatuses {{
          materializedPartitions failedPartitions materializingPartitions unmaterializedPartitions }} }} }} }}""",
    "backfills": """query { partitionBackfillsOrError(limit: 25) { ... on PartitionBackfills { results {
        id status numPartitions timestamp tags { key value } assetBackfillData { assetBackfillStatuses {
          ... on AssetPartitionsStatusCounts { assetKey { path } numPartitionsTargeted numPartitionsInProgress
            numPartitionsMaterialized numPartitionsFailed } } } } } } }""",
    "lineage": """query { assetNodes { assetKey { path } groupName staleStatus
        assetMaterializations(limit: 1) { timestamp runId } } }""",
}
"""What the UI asks for the list of runs, an asset's partitions, the page of backfills, and the lineage."""


QUIET: dict[str, Any] = {"run_config": {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}}


def rss_mb(pid: int | str = "self") -> float:
    """Resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = status.partition("VmRSS:")[2].split()  # A process that has ended has none.
    return int(found[0]) / 1000 if found else 0.0


def timed(figures: dict[str, Any], name: str, work: Callable[[], Any]) -> Any:
    """What the work returns; its wall and CPU seconds, and the memory after it, become figures."""
    started, cpu_started = time.perf_counter(), time.process_time()
    found = work()
    figures[f"{name}_s"] = round(time.perf_counter() - started, 2)
    figures[f"{name}_cpu_s"] = round(time.process_time() - cpu_started, 2)
    figures[f"{name}_rss_mb"] = round(rss_mb())
    figures[f"{name}_peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
    return found


def overrides(shards: int, per_partition: int, scenes_per_shard: int = 1) -> dict[str, str]:
    """The profile's changed values."""
    numbers = {"scenes.num_scenes": shards * scenes_per_shard, "scenes.scenes_per_shard": scenes_per_shard}
    numbers["automation.shards_per_partition"] = per_partition
    return TINY | {name: str(number) for name, number in numbers.items()}


# ---- material: one true shard, and copies of it under other keys


def make_scenes(root: str, shards: int) -> None:
    """Shards of one scene each: the first is made, the others show the same under their own keys."""
    factory = Factory(load_profile("demo", root, overrides(shards, 1)), Store(root))
    factory.make_library()
    factory.run(factory.scenes, ["00000"])
    model = read_manifest(factory.store, "scenes", "00000")
    assert model is not None
    for shard in factory.scenes.shards()[1:]:
        if not factory.store.exists(f"scenes/{shard}.json"):
            _copy(factory, model, shard)
    factory.store.remove(MADE)


def _copy(factory: Factory, model: Manifest, shard: str) -> None:
    store, (key,) = factory.store, factory.scenes.keys(shard)
    (span,) = spans(model)
    with store.writing(f"scenes/{shard}.tar") as file:
        tar = TarWriter(file)
        for suffix, data in span.read(store).items():
            tar.add(f"{key}.{suffix}", data)
        sha256 = tar.finish()
    table = store.read_table("scenes/00000.parquet")
    table = table.set_column(0, "key", pa.array([key] * table.num_rows))
    parquet = write_table(store, f"scenes/{shard}.parquet", table)
    inputs = factory.scenes.inputs(shard)
    made = replace(model, shard=shard, inputs=inputs, tar_sha256=sha256, parquet_sha256=parquet, members=tar.members)
    store.write(f"scenes/{shard}.json", made.to_json())


def write_table(store: Store, path: str, table: pa.Table) -> str:
    """Write a parquet file; returns its SHA-256."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    store.write(path, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def make_tables(root: str, shards: int, scenes_per_shard: int) -> Factory:
    """Manifests and indexes of finished shards without tars, all with the rows of a few true scenes."""
    few = Factory(load_profile("demo", root, overrides(1, 1, 16)), Store(root))
    few.make_shards()
    model, table = read_manifest(few.store, "shards", "00000"), few.store.read_table("shards/00000.parquet")
    assert model is not None
    many = Factory(load_profile("demo", root, overrides(shards, 1, scenes_per_shard)), few.store)
    old = sorted(set(table["key"].to_pylist()))
    wide = pa.concat_tables([table] * -(-scenes_per_shard // len(old)))
    scene = 0
    places = []
    for row in wide.to_pylist():
        scene += row["layer"] == 0
        places.append(scene - 1)
    rows = [place for place, number in enumerate(places) if number < scenes_per_shard]
    wide = wide.take(pa.array(rows))
    per_scene = {key: [m for m in model.members if key_of(m.name) == key] for key in old}
    for shard in many.scenes.shards():
        keys = many.scenes.keys(shard)
        named = wide.set_column(0, "key", pa.array([keys[places[row]] for row in rows]))
        members = [
            member._replace(name=f"{key}.{suffix_of(member.name)}")
            for i, key in enumerate(keys)
            for member in per_scene[old[i % len(old)]]
        ]
        parquet = write_table(few.store, f"shards/{shard}.parquet", named)
        made = replace(model, shard=shard, parquet_sha256=parquet, members=members)
        made = replace(made, num_items=len(keys), num_rows=named.num_rows)
        few.store.write(f"shards/{shard}.json", made.to_json())
        few.store.write(f"scenes/{shard}.json", replace(made, stage="scenes").to_json())
    return many


# ---- the measurements


@contextmanager
def _folder(arguments: argparse.Namespace) -> Iterator[str]:
    """The folder that the arguments name, else a temporary one."""
    if arguments.folder:
        yield str(arguments.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def definitions(arguments: argparse.Namespace) -> dict[str, Any]:
    """Loading the code location, its partitions, and what a tick asks when everything is made."""
    figures: dict[str, Any] = {"shards": arguments.shards, "shards_per_partition": arguments.per_partition}

    with tempfile.TemporaryDirectory() as folder:
        profile = load_profile("demo", folder, overrides(arguments.shards, arguments.per_partition, 500))
        figures["imported_rss_mb"] = round(rss_mb())
        repository = timed(figures, "build", lambda: build_defs(profile).get_repository_def())

        key = repository.asset_graph.get(dg.AssetKey("scenes"))
        names = timed(figures, "keys", key.partitions_def.get_partition_keys)
        figures["partitions"] = len(names)
        _tick(Plan(profile), figures)
    return figures


def _tick(plan: Plan, figures: dict[str, Any]) -> None:
    """What a tick of `nightly_data` asks of two assets of which everything is made: whether they are stale."""

    @dg.asset(partitions_def=plan.partitions, backfill_policy=dg.BackfillPolicy.single_run())
    def above() -> None: ...

    @dg.asset(
        partitions_def=plan.partitions,
        deps=[above],
        backfill_policy=dg.BackfillPolicy.single_run(),
        metadata={LAST_HOLDS: plan.last_contents},
    )
    def below(context: dg.AssetExecutionContext) -> None:
        for name in context.partition_keys:
            context.add_asset_metadata({HOLDS: plan.contents(name)}, partition_key=name)

    names = plan.partitions.get_partition_keys()
    tags = {RANGE_START: names[0], RANGE_END: names[-1]}
    graph = dg.Definitions([above, below]).get_repository_def().asset_graph
    with dg.DagsterInstance.ephemeral() as instance:
        made = timed(figures, "events", lambda: dg.materialize([above, below], instance=instance, tags=tags, **QUIET))
        assert made.success
        assert timed(figures, "tick", lambda: stale_assets(instance, graph, {above.key, below.key})) == []


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Memory after runs in one process, a few partitions each, and how much they grow it."""
    figures: dict[str, Any] = {"shards": arguments.shards, "partitions_per_run": arguments.per_run}
    with _folder(arguments) as folder:
        make_scenes(folder, arguments.shards)
        plan = Plan(load_profile("demo", folder, overrides(arguments.shards, 1)))
        assets, keys = shard_assets(plan), plan.partitions.get_partition_keys()
        for first in range(0, len(keys), arguments.per_run):
            part = keys[first : first + arguments.per_run]
            # A new instance each time: one in memory keeps the events of all its runs.
            with dg.DagsterInstance.ephemeral() as instance:
                tags = {RANGE_START: part[0], RANGE_END: part[-1]}
                dg.materialize(assets, instance=instance, tags=tags, selection=[ASSET], **QUIET)
            done = first + len(part)
            if done in (arguments.per_run, arguments.shards // 10, arguments.shards // 2, arguments.shards):
                figures[f"rss_mb_after_{done}"] = round(rss_mb(), 1)
    return figures


def dataset(arguments: argparse.Namespace) -> dict[str, Any]:
    """The tables and figures of `dataset/`; its contact sheets need a few tars and cost the same at any size."""
    from pipelines.dataset.figures import draw_figures
    from pipelines.dataset.index import count_assets, read_shards, write_index
    from pipelines.dataset.samples import choose
    from pipelines.dataset.statistics import measure, read_layers, read_tallies

    figures: dict[str, Any] = {"shards": arguments.shards, "scenes_per_shard": arguments.scenes_per_shard}
    with _folder(arguments) as folder:
        # Apart, so that the peak of memory is that of the measured work.
        line = [sys.executable, __file__, "tables", "--shards", str(arguments.shards)]
        line += ["--scenes-per-shard", str(arguments.scenes_per_shard), "--folder", folder]
        subprocess.run(line, check=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
        config = load_profile("demo", folder, overrides(arguments.shards, 1, arguments.scenes_per_shard))
        store = Store(folder)
        figures["start_rss_mb"] = round(rss_mb())
        planned = [f"{i:05d}" for i in range(config.scenes.num_shards)]
        manifests = timed(figures, "manifests", lambda: read_shards(store, planned))
        tallies = timed(figures, "tallies", lambda: read_tallies(store, manifests))
        index = timed(figures, "index", lambda: write_index(store, manifests))
        layers = timed(figures, "layers", lambda: read_layers(store, manifests))
        assets = timed(figures, "assets", lambda: count_assets(store, manifests))
        timed(figures, "samples", lambda: choose(layers, 0))
        found = timed(figures, "statistics", lambda: measure(manifests, layers, tallies, assets))
        timed(figures, "figures", lambda: draw_figures(found, layers, config.scenes))
        figures |= {"layers": len(layers), "index_mb": round(index.num_bytes / 1e6, 1)}
    return figures


def backfill(arguments: argparse.Namespace) -> dict[str, Any]:
    """A backfill through the daemon, and how fast the web server answers meanwhile."""
    with _folder(arguments) as root, tempfile.TemporaryDirectory() as name:
        folder, home = Path(name), Path(name) / "home"
        home.mkdir()
        shutil.copy(arguments.instance or CHECKOUT / "dagster.yaml", home / "dagster.yaml")
        figures: dict[str, Any] = {"shards": arguments.shards, "shards_per_partition": arguments.per_partition}
        timed(figures, "preparing", lambda: make_scenes(root, arguments.shards))
        changed = overrides(arguments.shards, arguments.per_partition)
        variables = {f"DECOUPAGE__{key.upper().replace('.', '__')}": value for key, value in changed.items()}
        environment = {**os.environ, **variables, "DAGSTER_HOME": str(home), "DECOUPAGE_ROOT": root}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(CHECKOUT)}
        line = ["dagster-daemon", "run", "-m", "assets_defs.definitions"]
        with (
            _web(environment, folder, "assets_defs.definitions") as (ask, web),
            _running(line, environment, folder / "daemon.log") as daemon,
        ):
            figures |= _backfilled(ask, arguments, {"webserver": web.pid, "daemon": daemon.pid})
        logs = (folder / "web.log").read_text() + (folder / "daemon.log").read_text()
        figures["database_is_locked"] = logs.count("database is locked")
        figures["home_mb"] = round(sum(f.stat().st_size for f in home.rglob("*") if f.is_file()) / 1e6, 1)
    return figures


def _backfilled(ask: str, arguments: argparse.Namespace, pids: dict[str, int]) -> dict[str, Any]:
    keys = _answer(ask, f'query {{ assetNodes(assetKeys: [{{path: ["{ASSET}"]}}]) {{ partitionKeys }} }}')
    names = keys["assetNodes"][0]["partitionKeys"]
    started = time.perf_counter()
    launch = """mutation ($names: [String!]) { launchPartitionBackfill(backfillParams:
        {assetSelection: [{path: ["ASSET"]}], partitionNames: $names}) {
        __typename ... on LaunchBackfillSuccess { backfillId } } }""".replace("ASSET", ASSET)
    launched = _answer(ask, launch, {"names": names})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    done: dict[str, Any] = {}

    def is_going_on() -> bool:
        (found,) = _answer(ask, QUERIES["backfills"])["partitionBackfillsOrError"]["results"]
        done.update(found)
        late = time.perf_counter() - started > arguments.limit_s
        return found["status"] in ("REQUESTED", "CANCELING") and not late

    asked = _ask_while(ask, pids["webserver"], is_going_on)
    counts = done["assetBackfillData"]["assetBackfillStatuses"][0]
    figures: dict[str, Any] = {"partitions": len(names), "status": done["status"], **asked}
    figures |= {"wall_s": round(time.perf_counter() - started, 1), "materialized": counts["numPartitionsMaterialized"]}
    figures |= {f"{name}_rss_mb": round(_tree_mb(pid)) for name, pid in pids.items()}
    figures |= {f"{name}_cpu_s": round(_tree_cpu_s(pid), 1) for name, pid in pids.items()}
    return figures


def records(arguments: argparse.Namespace) -> dict[str, Any]:
    """The records of a backfill alone, written by some processes at once, and the UI's answers meanwhile and after."""
    with tempfile.TemporaryDirectory() as name:
        folder, home = Path(name), Path(name) / "home"
        home.mkdir()
        shutil.copy(arguments.instance or CHECKOUT / "dagster.yaml", home / "dagster.yaml")
        environment = {**os.environ, "DAGSTER_HOME": str(home), "NUM_PARTITIONS": str(arguments.shards)}
        environment |= {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(CHECKOUT)}
        figures: dict[str, Any] = {"partitions": arguments.shards, "writers": arguments.writers}
        with _web(environment, folder, "benchmarks.load_definitions") as (ask, web):
            started, part = time.perf_counter(), -(-arguments.shards // arguments.writers)
            line = [sys.executable, __file__, "write", "--shards", str(part), "--first"]
            firsts = range(0, arguments.shards, part)
            with ExitStack() as stack:
                logs = [stack.enter_context((folder / f"writer{first}").open("w+b")) for first in firsts]
                writers = [
                    subprocess.Popen([*line, str(first)], env=environment, cwd=CHECKOUT, stdout=log, stderr=log)
                    for first, log in zip(firsts, logs, strict=True)
                ]
                busy = _ask_while(ask, web.pid, lambda: any(writer.poll() is None for writer in writers))
                figures["writing_s"] = round(time.perf_counter() - started, 1)
                told = [(folder / f"writer{first}").read_text() for first in firsts]
            figures |= {f"busy_{name}": found for name, found in busy.items()}
            figures["database_is_locked"] = sum(text.count("database is locked") for text in told)
            figures["writers_failed"] = sum(writer.returncode != 0 for writer in writers)
            figures["writers_cpu_s"] = round(sum(float(text.rsplit("cpu_s=", 1)[-1]) for text in told), 1)
            until_s = time.monotonic() + arguments.quiet_s
            figures |= {
                f"quiet_{name}": found
                for name, found in _ask_while(ask, web.pid, lambda: time.monotonic() < until_s).items()
            }
            figures["webserver_rss_mb"] = round(_tree_mb(web.pid))
        figures["home_mb"] = round(sum(f.stat().st_size for f in home.rglob("*") if f.is_file()) / 1e6, 1)
    return figures


def write(arguments: argparse.Namespace) -> None:
    """Materialize partitions in runs of fifty, on the instance of DAGSTER_HOME."""
    from benchmarks.load_definitions import edge_maps

    keys = [f"{i:05d}" for i in range(arguments.first, arguments.first + arguments.shards)]
    keys = [key for key in keys if key in set(edge_maps.partitions_def.get_partition_keys())]
    with dg.DagsterInstance.get() as instance:
        for first in range(0, len(keys), 50):
            part = keys[first : first + 50]
            tags = {RANGE_START: part[0], RANGE_END: part[-1]}
            assert dg.materialize([edge_maps], instance=instance, tags=tags, **QUIET).success
    print(f"cpu_s={time.process_time()}")


def _ask_while(ask: str, pid: int, is_going_on: Callable[[], bool]) -> dict[str, float]:
    """Seconds of the UI's queries by the clock, and of processor time of the server and its code server."""
    wall_s: dict[str, list[float]] = {name: [] for name in QUERIES}
    cpu_s: dict[str, list[float]] = {name: [] for name in QUERIES}
    while is_going_on():
        for name, query in QUERIES.items():
            asked, spent_s = time.perf_counter(), _tree_cpu_s(pid)
            _answer(ask, query)
            wall_s[name].append(time.perf_counter() - asked)
            cpu_s[name].append(_tree_cpu_s(pid) - spent_s)
    figures: dict[str, float] = {"rounds": len(wall_s["runs"])}
    for name in QUERIES:
        figures |= {f"{name}_p95_s": _p95(wall_s[name]), f"{name}_p95_cpu_s": _p95(cpu_s[name])}
    return figures


def _p95(values: Sequence[float]) -> float:
    return round(sorted(values)[int(0.95 * (len(values) - 1))], 3) if values else 0.0


def _tree_cpu_s(pid: int) -> float:
    """Processor time that a process and its children have used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(_tree_cpu_s(int(c)) for c in found)


@contextmanager
def _web(environment: dict[str, str], folder: Path, module: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """(address of its GraphQL, process) of a web server over a module's definitions."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = ["dagster-webserver", "-h", "127.0.0.1", "-p", str(port), "-m", module]
    with _running(line, environment, folder / "web.log") as process:
        ask = f"http://127.0.0.1:{port}/graphql"
        _wait(lambda: _answer(ask, "query { version }"), 600)
        yield ask, process


def _answer(address: str, query: str, variables: dict[str, Any] | None = None) -> Any:
    told = httpx2.post(address, json={"query": query, "variables": variables or {}}, timeout=120.0).json()
    if told.get("errors"):
        raise RuntimeError(told["errors"][0]["message"])
    return told["data"]


def _wait(what: Callable[[], Any], limit_s: float) -> None:
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            what()
            return
        except httpx2.HTTPError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.5)


@contextmanager
def _running(line: Sequence[str], environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program of this environment, ended with all that it started."""
    program = str(Path(sys.executable).parent / line[0])
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *line[1:]], cwd=CHECKOUT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _tree_mb(pid: int) -> float:
    """Resident memory of a process and its children, in MB."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return rss_mb(pid) + sum(_tree_mb(int(child)) for child in found)


MEASURED = {
    "definitions": definitions,
    "backfill": backfill,
    "records": records,
    "memory": memory,
    "dataset": dataset,
}


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*MEASURED, "tables", "write"])
    parser.add_argument("--shards", type=int, default=2000)
    parser.add_argument("--scenes-per-shard", type=int, default=500)
    parser.add_argument("--per-partition", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="first partition, of `write`")
    parser.add_argument("--writers", type=int, default=4, help="processes that write records at once")
    parser.add_argument("--quiet-s", type=float, default=20.0, help="how long answers are timed afterwards")
    parser.add_argument("--per-run", type=int, default=10)
    parser.add_argument("--instance", type=Path, help="a dagster.yaml for backfill; SQLite without it")
    parser.add_argument("--folder", type=Path, help="where the made-up shards go and stay")
    parser.add_argument("--limit-s", type=float, default=3600.0, help="a backfill that takes longer is left")
    arguments = parser.parse_args()
    if arguments.what == "tables":
        make_tables(str(arguments.folder), arguments.shards, arguments.scenes_per_shard)
    elif arguments.what == "write":
        write(arguments)
    else:
        print(json.dumps(MEASURED[arguments.what](arguments), indent=1))


if __name__ == "__main__":
    main()
