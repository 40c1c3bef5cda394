"""Days with the product in minutes: a real daemon, real ticks, real runs, nobody at the keyboard."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from assets_defs.automation.failures import FILE, WEBHOOK
from tests.assets_defs.small import FEW, SMALL, make_base
from tests.assets_defs.test_automation import listening
from training.journal import read_metrics

CHECKOUT = Path(__file__).parents[2]
MODULE = "tests.assets_defs.one_process"
NUM_STEPS = 400
PATIENCE_S = 900.0


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """(root, takedowns, instance, what the webhook heard) with a daemon at work and both schedules switched on."""
    folder = tmp_path_factory.mktemp("days")
    home, root, takedowns = folder / "dagster", folder / "root", folder / "takedowns.txt"
    home.mkdir()
    shutil.copy(CHECKOUT / "dagster.yaml", home)
    takedowns.write_text("")
    changes = FEW["training.changes"].replace('num_steps" = 3', f'num_steps" = {NUM_STEPS}')
    overrides = {**SMALL, **FEW, "training.base": str(make_base(folder / "base")), "training.changes": changes}
    overrides |= {"automation.nightly_cron": "* * * * *", "automation.weekly_cron": "* * * * *"}
    overrides |= {"library.takedowns": str(takedowns)}
    variables = {f"DECOUPAGE__{key.upper().replace('.', '__')}": value for key, value in overrides.items()}
    with listening(200) as (url, heard):
        environment = {**os.environ, **variables, "DAGSTER_HOME": str(home), "DECOUPAGE_ROOT": str(root), WEBHOOK: url}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        beside = Path(sys.executable).parent
        for name in ("nightly_data", "weekly_retrain"):
            line = [str(beside / "dagster"), "schedule", "start", name, "-m", MODULE]
            subprocess.run(line, cwd=CHECKOUT, env=environment, check=True, capture_output=True)
        with (folder / "daemon.log").open("w") as log:
            line = [str(beside / "dagster-daemon"), "run", "-m", MODULE]
            daemon = subprocess.Popen(
                line, cwd=CHECKOUT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield root, takedowns, instance, heard
        os.killpg(daemon.pid, signal.SIGTERM)
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()


def wait_for(what: Callable[[], object], named: str):
    """The first true answer."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if found := what():
            return found
        time.sleep(1.0)
    raise AssertionError(f"{named}: not within {PATIENCE_S:.0f} s")


def runs(instance, job: str, *statuses: dg.DagsterRunStatus):
    return instance.get_runs(dg.RunsFilter(job_name=job, statuses=list(statuses) or None))


def skips(instance, since_s: float) -> dict[str, list[str]]:
    """Reasons of ticks that launched nothing, by schedule."""
    return {
        state.instigator_name: [
            tick.skip_reason or ""
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
            if tick.timestamp > since_s and tick.status.value == "SKIPPED"
        ]
        for state in instance.all_instigator_state()
    }


@pytest.mark.slow
def test_days_without_a_hand(days):
    root, takedowns, instance, heard = days

    # A night: the dataset is made.
    wait_for(lambda: runs(instance, "dataset", dg.DagsterRunStatus.SUCCESS), "the dataset")
    assert (root / "dataset" / "README.md").is_file()

    # A retraining is cancelled while the adapter learns: a checkpoint stays, and the pool's slot comes free.
    adapter = root / "training" / "adapter" / "runs"

    def learning() -> Path | None:
        return next((run for run in adapter.glob("*") if len(read_metrics(run)) >= 3), None)

    folder = wait_for(learning, "the adapter's first steps")
    (run,) = runs(instance, "retrain", dg.DagsterRunStatus.STARTED)
    assert slots(instance) == 1
    instance.run_launcher.terminate(run.run_id)
    wait_for(lambda: runs(instance, "retrain", dg.DagsterRunStatus.CANCELED), "the end of the cancelled run")
    (checkpoint,) = (path for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    left_at = int(checkpoint.name)
    assert 0 < left_at < NUM_STEPS and json.loads((checkpoint / "state.json").read_text())["step"] == left_at
    wait_for(lambda: slots(instance) == 0, "a free slot")
    assert not (Path(instance.root_directory) / FILE).exists() and heard == []  # Cancelled is not failed.

    # The next tick goes on from there, judges, and decides.
    wait_for(lambda: runs(instance, "retrain", dg.DagsterRunStatus.SUCCESS), "the adapter, judged")
    assert [line["step"] for line in read_metrics(folder)] == list(range(1, NUM_STEPS + 1))
    assert {"adapter", "base"} <= set(json.loads((root / "report" / "report.json").read_text())["methods"])
    assert instance.get_latest_materialization_event(dg.AssetKey("champion")) is not None

    # With nothing changed, ticks launch nothing.
    now_s = time.time()
    found = wait_for(
        lambda: (
            all(skips(instance, now_s).get(name) for name in ("nightly_data", "weekly_retrain"))
            and skips(instance, now_s)
        ),
        "ticks that skip",
    )
    assert all("nothing is stale" in reason for reasons in found.values() for reason in reasons)

    # Every foreground is taken down: the next run fails at the library's check, and somebody is told.
    before = len(runs(instance, "dataset"))
    takedowns.write_text("\n".join(ids(root)))
    wait_for(lambda: runs(instance, "dataset", dg.DagsterRunStatus.FAILURE), "a failed run")
    assert len(runs(instance, "dataset")) > before
    lines = [json.loads(line) for line in (Path(instance.root_directory) / FILE).read_text().splitlines()]
    assert lines[0]["step"] == "foreground_library" and "no usable foregrounds" in lines[0]["message"]
    assert heard[0][1]["step"] == "foreground_library"


def slots(instance) -> int:
    """Taken ones of the pool."""
    return len(instance.event_log_storage.get_concurrency_info("gpu").claimed_slots)


def ids(root: Path) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(root / "library" / "foregrounds.parquet", columns=["id"])["id"].to_pylist()
