"""`make demo`: materializes every asset of the profile in this one process, on the instance that the UI shows.

A step of its own process costs seconds, more than a stage of the demo; `make ui` and schedules use the ordinary
executors. Heavy imports wait for `main`: spawned workers load this module too.
"""

import logging
import os
import sys
import time


def main() -> int:
    """Run the job `everything` over all shards.

    Returns the exit status: 1 = a step or check failed, 2 = wrong set-up.
    """
    import dagster as dg

    from assets_defs.definitions import build_defs
    from assets_defs.summary import failures, summary
    from pipelines.faults import BadSetup
    from profiles import load_profile

    started = time.monotonic()
    # Advice on optional packages, once more in every process.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Only our own lines: Dagster's database migrations log too.
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for ours in ("pipelines", "evaluation"):  # Training tells the terminal from its own process.
        logging.getLogger(ours).setLevel(logging.INFO)
    try:
        profile = load_profile()
        job = build_defs(profile, dg.in_process_executor).resolve_job_def("everything")
    except (BadSetup, ValueError) as fault:
        print(f"The demo cannot start: {fault}", file=sys.stderr)
        return 2
    keys = job.partitions_def.get_partition_keys() if job.partitions_def else []
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    print(f"Making dataset, adapter and report of the {profile.name} profile in {profile.root}", file=sys.stderr)
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(instance=instance, tags=tags, run_config=quiet, raise_on_error=False)
    if not result.success:
        print(failures(result), file=sys.stderr)
        return 1
    print(summary(profile, time.monotonic() - started))
    return 0


if __name__ == "__main__":
    sys.exit(main())
