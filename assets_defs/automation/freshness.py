"""How old results may grow before the UI says so.

A tick that finds nothing stale makes nothing, and results of unchanged inputs grow old with good reason. So the limits
are wide: they tell of an automation that stands still, or of inputs that nobody feeds any more.
"""

from datetime import timedelta

import dagster as dg

POLICIES = {
    "dataset": dg.FreshnessPolicy.time_window(fail_window=timedelta(days=60), warn_window=timedelta(days=30)),
    "evaluation": dg.FreshnessPolicy.time_window(fail_window=timedelta(days=90), warn_window=timedelta(days=45)),
    "champion": dg.FreshnessPolicy.time_window(fail_window=timedelta(days=90), warn_window=timedelta(days=45)),
}
"""By asset."""


def with_freshness(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with its limit, if it has one."""
    policy = POLICIES.get(spec.key.to_user_string())
    return dg.apply_freshness_policy(spec, policy) if policy else spec
