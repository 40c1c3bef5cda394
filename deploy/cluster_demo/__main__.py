"""`make cluster-demo`: the demo as a team would run it, on this machine; then what must hold, one line each.

PostgreSQL, an S3 server, a Ray cluster of three nodes, and Dagster's UI, daemon and code server are started with the
settings of `deploy/`, the job `everything` runs on them, and all of them end with it. Logs are in data/cluster/logs.
Nothing is kept: the next one starts afresh. `--small` takes minutes on two cores; without it, as long as `make demo`.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from decoupage.faults import BadSetup
from deploy.cluster_demo import findings, small
from deploy.cluster_demo.dagster_programs import dagster_programs
from deploy.cluster_demo.findings import Finding
from deploy.cluster_demo.postgres import postgres
from deploy.cluster_demo.processes import MARK, Programs
from deploy.cluster_demo.ray_nodes import ray_cluster
from deploy.cluster_demo.s3 import BUCKET, CLIENT, s3
from pipelines.stages.locks import alone

CHECKOUT = Path(__file__).parents[2]
SETTINGS = CHECKOUT / "deploy" / "dagster.postgres.yaml"
FOLDER = CHECKOUT / "data" / "cluster"
NUM_NODES = 3
DONE, FAILED, WRONG_SETUP, INTERRUPTED = 0, 1, 2, 130


def main() -> int:
    """Run it. Returns the exit status: 1 = the demo or a finding failed, 2 = it cannot start, 130 = stopped."""
    parser = argparse.ArgumentParser(prog="make cluster-demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="few scenes and steps: minutes, and nothing is learned")
    is_small = parser.parse_args().small
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        with alone(FOLDER / "demo.lock") as is_alone:
            if not is_alone:
                raise BadSetup(f"another cluster demo runs in {FOLDER}")
            return _run(is_small)
    except BadSetup as fault:
        print(f"The cluster demo cannot start: {fault}", file=sys.stderr)
        return WRONG_SETUP
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED


def _run(is_small: bool) -> int:
    programs = _fresh()
    local = [FOLDER / "local"] if is_small else [CHECKOUT / "data" / "demo", FOLDER / "local"]
    found: list[Finding] = []
    started_s = time.monotonic()
    try:
        with _cluster(programs, is_small) as (environment, url):
            _say(started_s, f"the cluster stands; Dagster is on {url} while this runs")
            line = [sys.executable, "-m", "assets_defs.demo"]
            status = _in_foreground(line, {**environment, MARK: programs.mark})
            if status:
                return status
            _say(started_s, "the demo has ended; what must hold:")
            root = environment["DECOUPAGE_ROOT"]
            found += [
                findings.decided(root, learned=not is_small),
                findings.recorded(url),
                findings.on_several_nodes(programs),
            ]
            found += [findings.verified(root, environment), findings.same_as_serial(root, local, environment)]
    finally:
        programs.end_all()
    found.append(findings.all_ended(programs))
    print("\n".join(map(str, found)))
    _say(started_s, f"finished; logs in {programs.folder}")
    return DONE if all(one.holds for one in found) else FAILED


def _fresh() -> Programs:
    """An empty folder, and nothing left of a demo that was killed."""
    mark = FOLDER / "mark"
    if mark.exists():
        Programs(FOLDER / "logs", mark.read_text()).end_all()
    for path in FOLDER.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    programs = Programs(FOLDER / "logs")
    mark.write_text(programs.mark)
    return programs


@contextmanager
def _cluster(programs: Programs, is_small: bool) -> Iterator[tuple[dict[str, str], str]]:
    """Context with everything running; gives the environment of a program that uses it, and the address of the UI."""
    home = FOLDER / "dagster"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(SETTINGS)
    environment = {
        **os.environ,
        **(small.variables() if is_small else {}),
        "PYTHONPATH": str(CHECKOUT),
        "OMP_NUM_THREADS": "1",
        "DAGSTER_HOME": str(home),
        "DECOUPAGE_CACHE": str(FOLDER / "cache"),
        "DECOUPAGE_ROOT": f"s3://{BUCKET}/demo",
        "DECOUPAGE__ENGINE__KIND": "ray",
    }
    with ExitStack() as stack:
        environment |= stack.enter_context(postgres(programs))
        environment |= stack.enter_context(s3(programs, environment))
        os.environ.update({name: value for name, value in environment.items() if name.startswith("AWS_")})
        environment |= stack.enter_context(ray_cluster(programs, environment, NUM_NODES)) | {CLIENT: "driver"}
        yield environment, stack.enter_context(dagster_programs(programs, environment))


def _in_foreground(line: list[str], environment: Mapping[str, str]) -> int:
    """Run a program that speaks to the terminal; Ctrl-C reaches it once, from here."""
    process = subprocess.Popen(line, env=dict(environment), start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def _say(started_s: float, text: str) -> None:
    print(f"[{time.monotonic() - started_s:.0f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
