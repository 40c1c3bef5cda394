"""The code location: every asset, job and executor of one profile.

Every worker loads this module, so it imports no torch, diffusers, transformers, ray or fiftyone.
"""

from datetime import timedelta

import dagster as dg

from assets_defs.ablations import ablation_assets
from assets_defs.automation.failures import died_runs_sensor, report_failures
from assets_defs.automation.inputs import input_assets
from assets_defs.automation.schedules import changed_inputs_sensor, schedules
from assets_defs.baselines import baselines_asset
from assets_defs.champion import champion_asset
from assets_defs.dataset import dataset_assets
from assets_defs.evaluation import evaluation_assets
from assets_defs.inspection import inspection_assets
from assets_defs.jobs import JOBS, steps_at_once
from assets_defs.library import library_assets
from assets_defs.plan import Plan
from assets_defs.shards import shard_assets
from assets_defs.sources import source_assets
from assets_defs.training import training_assets
from profiles.profile import Profile, load_profile

FRESHNESS = {
    "dataset": dg.FreshnessPolicy.time_window(fail_window=timedelta(days=60), warn_window=timedelta(days=30)),
    "evaluation": dg.FreshnessPolicy.time_window(fail_window=timedelta(days=90), warn_window=timedelta(days=45)),
    "champion": dg.FreshnessPolicy.time_window(fail_window=timedelta(days=90), warn_window=timedelta(days=45)),
}
"""How old an asset may grow before the UI says so.

A tick that finds nothing stale makes nothing, and results of unchanged inputs grow old with good reason. So the limits
are wide: they point to an automation that has stopped, or to inputs that are no longer fed.
"""


def build_defs(profile: Profile | None = None, executor: dg.ExecutorDefinition | None = None) -> dg.Definitions:
    """The definitions of a profile.

    Args:
        profile: None takes the one that `DECOUPAGE_PROFILE` names.
        executor: None takes the multiprocess executor with the job's own limit of steps at once.
    """
    plan = Plan(profile or load_profile())
    data = [*source_assets(plan), *library_assets(plan), *shard_assets(plan), *dataset_assets(plan)]
    judged = [*evaluation_assets(plan), baselines_asset(plan), champion_asset(plan), *ablation_assets(plan)]
    judged += inspection_assets(plan)
    made = [*data, *training_assets(plan), *judged]
    return dg.Definitions(
        assets=[*input_assets(plan), *(_watched(asset) for asset in made)],
        jobs=JOBS,
        schedules=schedules(plan),
        sensors=[changed_inputs_sensor(plan), died_runs_sensor()],
        executor=executor or steps_at_once(),
    )


def _watched(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The asset with reports of its failures, also in runs by hand, and with its limit of age where one is set."""
    policy = FRESHNESS.get(asset.key.to_user_string())
    watched = asset.with_hooks({report_failures})
    return watched.map_asset_specs(lambda spec: dg.apply_freshness_policy(spec, policy)) if policy else watched


defs = build_defs()
