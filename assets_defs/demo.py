"""`make demo`: materializes the job `everything` in this one process, on the instance that the UI shows.

A step of its own process costs seconds, more than a stage of the demo; `make ui` and schedules use the ordinary
executors. Heavy imports wait for `main`: spawned workers load this module too.
"""

import logging
import os
import sys
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.stages.locks import alone

if TYPE_CHECKING:
    import dagster as dg

    from assets_defs.steps import Steps
    from profiles.profile import Profile


MARK = {"decoupage/demo": "true"}
DONE, FAILED, WRONG_SETUP, INTERRUPTED = 0, 1, 2, 130
GOES_ON = "interrupted; run the same command again to continue"
OURS = ("pipelines", "evaluation", "assets_defs")
"""Loggers whose lines are shown. Training logs to the terminal from its own process."""


def close_dead_runs(instance: "dg.DagsterInstance") -> None:
    """Mark runs of killed demos as failed and free their place in pools, or this run would wait for it forever.

    In the UI the daemon does the same; here there may be none.
    """
    from dagster import DagsterRunStatus, RunsFilter

    for run in instance.get_runs(RunsFilter(tags=MARK, statuses=[DagsterRunStatus.STARTED])):
        instance.report_run_failed(run, "its process was killed")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def main() -> int:
    """Run the job `everything` over all shards.

    Returns the exit status: 1 = a step or check failed, 2 = wrong set-up, 130 = stopped by Ctrl-C.
    """
    try:
        return _main()
    except KeyboardInterrupt:  # Before or after the run; during it Dagster notifies its steps.
        print(GOES_ON, file=sys.stderr)
        return INTERRUPTED


def _main() -> int:
    from assets_defs.definitions import build_defs
    from assets_defs.summary import failures, summary
    from decoupage.faults import BadSetup
    from profiles.profile import load_profile

    started = time.monotonic()
    # Advice on optional packages, once more in every process.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    show_log()
    try:
        import dagster as dg

        profile = load_profile()
        job = build_defs(profile, dg.in_process_executor).resolve_job_def("everything")
        print(f"Making dataset, adapter and report of the {profile.name} profile in {profile.root}", file=sys.stderr)
        found = _run(profile, job)
    except (BadSetup, ValueError) as fault:
        print(f"The demo cannot start: {fault}", file=sys.stderr)
        return WRONG_SETUP
    if found is None:
        print("Another demo is already running on the same Dagster instance.", file=sys.stderr)
        return WRONG_SETUP
    result, steps = found
    if steps.is_interrupted:
        print(GOES_ON, file=sys.stderr)
        return INTERRUPTED
    if not result.success:
        print(failures(result), file=sys.stderr)
        return FAILED
    print(summary(profile, time.monotonic() - started, steps.up_to_date))
    return DONE


def _run(profile: "Profile", job: "dg.JobDefinition") -> "tuple[dg.ExecuteInProcessResult, Steps] | None":
    """Execute the job over all shards; None = another demo runs on this instance.

    Raises:
        BadSetup: an input is missing or cannot be read.
    """
    from assets_defs.automation.inputs import observe, watched_inputs
    from assets_defs.home import opened_instance
    from assets_defs.origin import name_origin
    from assets_defs.plan import Plan
    from assets_defs.steps import SECONDS, Steps

    keys = job.partitions_def.get_partition_keys() if job.partitions_def else []
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    steps = Steps(list(job.graph.node_dict), SECONDS if profile.name == "demo" else {})
    run_id = str(uuid.uuid4())
    # What steps print goes to the terminal alone. Dagster would copy it through processes of its own, which Ctrl-C
    # would reach as well, and no step could see that it has a terminal. The run's events hold our lines anyway.
    silent = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    with ExitStack() as stack:
        instance = stack.enter_context(opened_instance({"compute_logs": silent}))
        if not stack.enter_context(alone(Path(instance.root_directory) / "demo.lock")):
            return None
        close_dead_runs(instance)
        # The assets of this run are made from these inputs; a schedule switched on later finds them unchanged.
        observe(instance, watched_inputs(Plan(profile)))
        instance.add_event_listener(run_id, steps.hear)
        instance.add_event_listener(run_id, lambda entry: _cancel(instance, entry, steps))
        name_origin(instance, job.name)
        result = job.execute_in_process(
            instance=instance, tags=tags | MARK, run_config=quiet, raise_on_error=False, run_id=run_id
        )
    return result, steps


def _cancel(instance: "dg.DagsterInstance", entry: "dg.EventLogEntry", steps: "Steps") -> None:
    """When a step is interrupted, note that the run is to end; otherwise it would count as failed."""
    run = instance.get_run_by_id(entry.run_id)
    if steps.is_interrupted and run and entry.dagster_event and entry.dagster_event.is_step_failure:
        instance.report_run_canceling(run)


def show_log() -> None:
    """Show our own lines, and of others only warnings: Dagster's database migrations log too.

    The handler is there before Dagster's, which puts the run's id before each line.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    for name in OURS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(terminal)
        logger.propagate = False


if __name__ == "__main__":
    sys.exit(main())
