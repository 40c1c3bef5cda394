"""`make demo`: materializes the job `everything` in this one process, on the instance that the UI shows.

A step of its own process costs seconds, more than a stage of the demo; `make ui` and schedules use the ordinary
executors. Heavy imports wait for `main`: spawned workers load this module too.
"""

import logging
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.stages.locks import alone

if TYPE_CHECKING:
    import dagster as dg


MARK = {"decoupage/demo": "true"}


def close_dead_runs(instance: "dg.DagsterInstance") -> None:
    """Mark runs of killed demos as failed and free their place in pools, which this run would else wait for forever.

    In the UI the daemon does the same; here there may be none.
    """
    from dagster import DagsterRunStatus, RunsFilter

    for run in instance.get_runs(RunsFilter(tags=MARK, statuses=[DagsterRunStatus.STARTED])):
        instance.report_run_failed(run, "its process was killed")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def main() -> int:
    """Run the job `everything` over all shards.

    Returns the exit status: 1 = a step or check failed, 2 = wrong set-up.
    """
    import dagster as dg

    from assets_defs.automation.inputs import observe, watched_inputs
    from assets_defs.definitions import build_defs
    from assets_defs.home import opened_instance
    from assets_defs.origin import name_origin
    from assets_defs.plan import Plan
    from assets_defs.summary import failures, summary
    from decoupage.faults import BadSetup
    from profiles.profile import load_profile

    started = time.monotonic()
    # Advice on optional packages, once more in every process.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Only our own lines: Dagster's database migrations log too.
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for ours in ("pipelines", "evaluation"):  # Training logs to the terminal from its own process.
        logging.getLogger(ours).setLevel(logging.INFO)
    try:
        profile = load_profile()
        job = build_defs(profile, dg.in_process_executor).resolve_job_def("everything")
    except (BadSetup, ValueError) as fault:
        print(f"The demo cannot start: {fault}", file=sys.stderr)
        return 2
    keys = job.partitions_def.get_partition_keys() if job.partitions_def else []
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    tags |= MARK
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    print(f"Making dataset, adapter and report of the {profile.name} profile in {profile.root}", file=sys.stderr)
    with ExitStack() as stack:
        try:
            instance = stack.enter_context(opened_instance())
            if not stack.enter_context(alone(Path(instance.root_directory) / "demo.lock")):
                print("Another demo runs already, on the same Dagster instance.", file=sys.stderr)
                return 2
            close_dead_runs(instance)
            # The assets of this run are made from these inputs; a schedule switched on later finds them unchanged.
            observe(instance, watched_inputs(Plan(profile)))
        except BadSetup as fault:
            print(f"The demo cannot start: {fault}", file=sys.stderr)
            return 2
        name_origin(instance, job.name)
        result = job.execute_in_process(instance=instance, tags=tags, run_config=quiet, raise_on_error=False)
    if not result.success:
        print(failures(result), file=sys.stderr)
        return 1
    print(summary(profile, time.monotonic() - started))
    return 0


if __name__ == "__main__":
    sys.exit(main())
