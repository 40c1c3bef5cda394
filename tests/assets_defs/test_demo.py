"""`make demo` beside its own earlier runs: one at a time, and a killed one blocks nobody."""

import subprocess
import sys

import dagster as dg

from assets_defs.demo import MARK, _cancel, close_dead_runs
from assets_defs.steps import Steps
from assets_defs.summary import INTERRUPTED, failures


def test_a_killed_demo_gives_its_place_in_the_pool_back(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("gpu", 1)
        killed, other = (
            instance.create_run_for_job(make_job(), tags=tags, status=dg.DagsterRunStatus.STARTED)
            for tags in (MARK, {"of": "somebody else"})
        )
        assert storage.claim_concurrency_slot("gpu", killed.run_id, "adapter").is_claimed
        close_dead_runs(instance)
        assert storage.claim_concurrency_slot("gpu", "next", "adapter").is_claimed
        assert instance.get_run_by_id(killed.run_id).status == dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(other.run_id).status == dg.DagsterRunStatus.STARTED


def test_a_run_that_somebody_interrupts_is_a_canceled_one():
    @dg.asset
    def trained() -> None:
        raise dg.DagsterExecutionInterruptedError

    job = dg.define_asset_job("train").resolve(asset_graph=dg.Definitions([trained]).resolve_asset_graph())
    steps, run_id = Steps(["trained"], {}), "0f4ffab0-4e0c-4998-ae65-8d4bd6cb4d07"
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_event_listener(run_id, steps.hear)
        instance.add_event_listener(run_id, lambda entry: _cancel(instance, entry, steps))
        job.execute_in_process(instance=instance, run_id=run_id, raise_on_error=False)
        assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.CANCELED


LOGGING = """
import logging
import dagster as dg
from assets_defs.demo import show_log

show_log()

@dg.asset
def looked_at() -> None:
    logging.getLogger("pipelines.stages").info("backgrounds: %d items", 10)
    logging.getLogger("alembic").info("Context impl SQLiteImpl.")

settings = {"python_logs": {"python_log_level": "INFO", "managed_python_loggers": ["pipelines"]}}
settings |= {"telemetry": {"enabled": False}}
with dg.DagsterInstance.local_temp(overrides=settings) as instance:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    dg.materialize([looked_at], instance=instance, run_config=quiet)
"""


def test_the_log_is_ours_and_bears_no_run_id():
    done = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line]
    assert [line.partition(" ")[2] for line in lines] == ["backgrounds: 10 items"], done.stderr


def test_an_interruption_is_told_in_words():
    @dg.asset
    def trained() -> None:
        raise dg.DagsterExecutionInterruptedError

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.define_asset_job("train").resolve(asset_graph=dg.Definitions([trained]).resolve_asset_graph())
        told = failures(result.execute_in_process(instance=instance, raise_on_error=False))
    assert f"trained: {INTERRUPTED}" in told


def make_job() -> dg.JobDefinition:
    @dg.job
    def nothing() -> None:
        pass

    return nothing
