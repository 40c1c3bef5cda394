"""The asset of a user's own cutouts; there only where the profile names a folder of them."""

import dagster as dg

from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import foregrounds_asset

FOLDER = "cutouts_folder"


def cutouts_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The asset `cutout_foregrounds`, or none."""
    if plan.profile.cutouts.source == "none":
        return []
    description = (
        "Real foregrounds: the user's own cutouts, RGBA pictures or pictures with their alphas, filtered, measured, "
        "stored as lossless WebP. Unusable files go to quarantine."
    )
    return [foregrounds_asset(plan, "cutout_foregrounds", FOLDER, plan.factory.own_cutouts, description)]
