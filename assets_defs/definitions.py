"""The code location: every asset, job and executor of one profile.

Every worker loads this module, so it imports no torch, diffusers, transformers, ray or fiftyone.
"""

import dagster as dg

from assets_defs.ablations import ablation_assets
from assets_defs.automation.failures import tell_of_failures
from assets_defs.automation.freshness import with_freshness
from assets_defs.automation.inputs import input_assets
from assets_defs.automation.schedules import schedules
from assets_defs.automation.sensors import sensors
from assets_defs.baselines import baselines_asset
from assets_defs.champion import champion_asset
from assets_defs.dataset import dataset_assets
from assets_defs.evaluation import evaluation_assets
from assets_defs.inspection import inspection_assets
from assets_defs.jobs import JOBS
from assets_defs.launchpad import steps_at_once
from assets_defs.library import library_assets
from assets_defs.plan import Plan
from assets_defs.shards import shard_assets
from assets_defs.sources import source_assets
from assets_defs.training import training_assets
from profiles.profile import Profile, load_profile


def build_defs(profile: Profile | None = None, executor: dg.ExecutorDefinition | None = None) -> dg.Definitions:
    """The definitions of a profile.

    Args:
        profile: None takes the one that `DECOUPAGE_PROFILE` names.
        executor: None takes the multiprocess executor with as many steps at once as the machine can bear.
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
        sensors=sensors(plan),
        executor=executor or steps_at_once(),
    )


def _watched(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """Its failures are told, also of runs by hand; it has a limit of age where one is set."""
    return asset.with_hooks({tell_of_failures}).map_asset_specs(with_freshness)


defs = build_defs()
