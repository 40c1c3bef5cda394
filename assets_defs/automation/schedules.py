"""The two schedules, data at night and the adapter once a week, and the sensor that watches the inputs.

Each is switched on in the UI. A tick looks at the inputs and requests a run of what is stale; if nothing is, no run
starts.
"""

import json

import dagster as dg

from assets_defs.automation.inputs import observe, watched_inputs
from assets_defs.automation.stale import request_for, running
from assets_defs.jobs import DATA_GROUPS, DATASET, EVALUATION_GROUPS, RETRAIN, TRAINING_GROUPS
from assets_defs.plan import Plan

Answer = dg.RunRequest | dg.SkipReason


def schedules(plan: Plan) -> list[dg.ScheduleDefinition]:
    """The schedules `nightly_data` and `weekly_retrain`."""
    times = plan.profile.automation
    inputs = watched_inputs(plan)

    @dg.schedule(
        name="nightly_data",
        job=DATASET,
        cron_schedule=times.nightly_cron,
        execution_timezone=times.time_zone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Looks at MULAN's folder, prompts, takedowns and exclusions, and remakes what is out of date, "
        "from the sources to the dataset. If nothing is, the tick ends in seconds without a run.",
    )
    def nightly_data(context: dg.ScheduleEvaluationContext) -> Answer:
        busy = running(context.instance)
        if busy:
            return dg.SkipReason(busy)
        observe(context.instance, inputs)
        return request_for(context.instance, context.repository_def.asset_graph, DATA_GROUPS, "nightly_data")

    @dg.schedule(
        name="weekly_retrain",
        job=RETRAIN,
        cron_schedule=times.weekly_cron,
        execution_timezone=times.time_zone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Trains the adapter when its data, recipe or base changed, evaluates it, and lets the gate promote "
        "or refuse it. If none of them changed, the tick ends in seconds without a run.",
    )
    def weekly_retrain(context: dg.ScheduleEvaluationContext) -> Answer:
        instance = context.instance
        busy = running(instance)
        if busy:
            return dg.SkipReason(busy)
        if instance.get_latest_materialization_event(dg.AssetKey("dataset")) is None:
            return dg.SkipReason("there is no dataset yet: run the job `dataset`, or switch nightly_data on")
        groups = (*TRAINING_GROUPS, *EVALUATION_GROUPS)
        return request_for(instance, context.repository_def.asset_graph, groups, "weekly_retrain")

    return [nightly_data, weekly_retrain]


def changed_inputs_sensor(plan: Plan) -> dg.SensorDefinition:
    """The sensor `changed_inputs`."""
    inputs = watched_inputs(plan)

    @dg.sensor(
        name="changed_inputs",
        job=DATASET,
        minimum_interval_seconds=plan.profile.automation.watch_every_s,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Remakes what is built on a changed MULAN folder, prompt list, exclusion or takedown. Looks at "
        "file times first, and reads contents only where these changed: a tick without a change costs milliseconds. "
        "Its first tick only remembers the present state.",
    )
    def changed_inputs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """One tick: at most one run is requested. The cursor holds each input's stamp, as JSON."""
        stamps = json.dumps({watched.name: watched.stamp() for watched in inputs}, sort_keys=True)
        if context.cursor == stamps:
            return dg.SensorResult(skip_reason="no input has changed")
        busy = running(context.instance)
        if busy:
            return dg.SensorResult(skip_reason=busy)  # The old cursor stays: the change is not forgotten.
        changed = observe(context.instance, inputs)
        if context.cursor is None:
            return dg.SensorResult(
                skip_reason="watched from now on; nightly_data remakes what was already stale", cursor=stamps
            )
        if not changed:
            return dg.SensorResult(skip_reason="files were touched, but their contents are the same", cursor=stamps)
        assert context.repository_def is not None
        trigger = f"changed_inputs: {', '.join(changed)}"
        answer = request_for(context.instance, context.repository_def.asset_graph, DATA_GROUPS, trigger)
        if isinstance(answer, dg.SkipReason):
            return dg.SensorResult(skip_reason=answer, cursor=stamps)
        return dg.SensorResult(run_requests=[answer], cursor=stamps)

    return changed_inputs
