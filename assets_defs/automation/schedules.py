"""The two schedules: data at night, the adapter once a week. Each is switched on in the UI.

A tick looks at the inputs and asks for what is stale, and only for that; where nothing is, no run starts.
"""

import dagster as dg

from assets_defs.automation.inputs import observe, watched_inputs
from assets_defs.automation.requests import request_for, running
from assets_defs.jobs import DATA_GROUPS, DATASET, EVALUATION_GROUPS, RETRAIN, TRAINING_GROUPS
from assets_defs.plan import Plan

Answer = dg.RunRequest | dg.SkipReason


def schedules(plan: Plan) -> list[dg.ScheduleDefinition]:
    """`nightly_data` and `weekly_retrain`."""
    times = plan.profile.automation
    inputs = watched_inputs(plan)

    @dg.schedule(
        name="nightly_data",
        job=DATASET,
        cron_schedule=times.nightly_cron,
        execution_timezone=times.time_zone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Looks at MULAN's folder, prompts, takedowns and exclusions, and makes anew what is out of date, "
        "from the sources to the dataset. Where nothing is, the tick ends in seconds without a run.",
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
        description="Trains the adapter when its data, recipe or base changed, judges it, and lets the gate promote "
        "or refuse it. With nothing new to learn from, the tick ends in seconds without a run.",
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
