"""The sensor that answers changed inputs within a minute, and the one that tells of runs whose process died."""

import json

import dagster as dg

from assets_defs.automation.failures import Failure, tell
from assets_defs.automation.inputs import observe, watched_inputs
from assets_defs.automation.requests import request_for, running
from assets_defs.jobs import DATA_GROUPS, DATASET
from assets_defs.plan import Plan


def sensors(plan: Plan) -> list[dg.SensorDefinition]:
    """`changed_inputs` and `died_runs`."""
    return [_changed_inputs(plan), _died_runs()]


def _changed_inputs(plan: Plan) -> dg.SensorDefinition:
    inputs = watched_inputs(plan)

    @dg.sensor(
        name="changed_inputs",
        job=DATASET,
        minimum_interval_seconds=plan.profile.automation.watch_every_s,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Answers a new MULAN folder, prompt list, exclusion or takedown by making anew what is built on "
        "it. Looks at file times first, and reads contents only where they moved: a tick without news costs "
        "milliseconds. Its first tick only remembers how things are.",
    )
    def changed_inputs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """One tick: at most one run is asked for. The cursor holds each input's stamp, as JSON."""
        stamps = json.dumps({watched.name: watched.stamp() for watched in inputs}, sort_keys=True)
        if context.cursor == stamps:
            return dg.SensorResult(skip_reason="no input has changed")
        busy = running(context.instance)
        if busy:
            return dg.SensorResult(skip_reason=busy)  # The old cursor stays: the change is not forgotten.
        changed = observe(context.instance, inputs)
        if context.cursor is None:
            return dg.SensorResult(
                skip_reason="watched from now on; nightly_data sees to what came before", cursor=stamps
            )
        if not changed:
            return dg.SensorResult(skip_reason="files were touched, and hold what they held", cursor=stamps)
        assert context.repository_def is not None
        trigger = f"changed_inputs: {', '.join(changed)}"
        answer = request_for(context.instance, context.repository_def.asset_graph, DATA_GROUPS, trigger)
        if isinstance(answer, dg.SkipReason):
            return dg.SensorResult(skip_reason=answer, cursor=stamps)
        return dg.SensorResult(run_requests=[answer], cursor=stamps)

    return changed_inputs


def _died_runs() -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="died_runs",
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Tells of runs that ended without a failing step: their process was killed or never started, so "
        "nobody inside could tell. Failing steps tell by themselves.",
    )
    def died_runs(context: dg.RunFailureSensorContext) -> None:
        if context.get_step_failure_events():
            return
        run, message = context.dagster_run, context.failure_event.message or "no message"
        tell(context.instance, Failure(run.run_id, run.job_name, "", message), context.log)

    return died_runs
