"""The asset of the baselines: each runs once on the held-out list, and its results are recorded for the reports."""

import hashlib
from collections.abc import Callable, Sequence

import dagster as dg

from assets_defs.asset import asset
from assets_defs.evaluation import GROUP
from assets_defs.metadata import check, check_spec, table
from assets_defs.plan import Plan
from assets_defs.training import POOL
from evaluation.methods.states import State, enabled_baselines_recorded
from pipelines.checks import CheckResult
from pipelines.factory import HELD_OUT

CHECKS: dict[str, Callable[..., CheckResult]] = {"enabled_baselines_recorded": enabled_baselines_recorded}


def baselines_asset(plan: Plan) -> dg.AssetsDefinition:
    """The asset `baselines`: recorded results of the profile's baselines on the held-out scenes."""
    factory, profile = plan.factory, plan.profile

    @asset(
        deps=["held_out_scenes"],
        group_name=GROUP,
        owners=["team:models"],
        kinds={"huggingface", "shell"},
        pool=POOL,
        check_specs=[check_spec("baselines", name, function, blocking=False) for name, function in CHECKS.items()],
        description="Published inpainting and matting methods on the held-out list, under the same protocol. Results "
        "that are recorded and unchanged are not made again. A method that cannot run stops no other one: its row "
        "says why, and how to get it. Simple fills (Telea, Navier-Stokes, smooth, biharmonic) and the given mask need "
        "nothing and join every evaluation.",
    )
    def baselines() -> dg.MaterializeResult:
        """Writes each enabled method's pictures. Raises BadSetup: no held-out scene."""
        # Every worker loads this module, and recording knows all methods.
        from evaluation.methods.baselines import record_baselines
        from evaluation.records.room import room_of
        from evaluation.test_sets.shards import HeldOut

        config, store = profile.evaluation, factory.store
        test_set = HeldOut(store.url(HELD_OUT), config.max_images)
        states = record_baselines(config, test_set, store)
        digests = "".join(state.name + state.digest for state in states if state.digest)
        return dg.MaterializeResult(
            metadata={
                "baselines": states_table(states),
                "recorded": sum(state.word == "recorded" for state in states),
                "without_an_answer": sum(state.num_failures for state in states),
                "dagster/uri": room_of(store, test_set.name).root,
            },
            data_version=dg.DataVersion(hashlib.sha256(digests.encode()).hexdigest()[:16]),
            check_results=[check(name, function(states), blocking=False) for name, function in CHECKS.items()],
        )

    return baselines


def states_table(states: Sequence[State]) -> dg.MetadataValue:
    """A table with a row for each known baseline: first those that are recorded or went wrong."""
    order = ("recorded", "did not run", "not here", "not enabled")
    return table(
        {
            "baseline": state.title,
            "state": state.word,
            "images": state.num_images,
            "failures": state.num_failures,
            "detail": state.detail,
        }
        for state in sorted(states, key=lambda state: order.index(state.word))
    )
