"""Assets of the sources, one file each: annotations, prompts, photographs, and the foregrounds taken from them.

They are not partitioned in Dagster: their shards are many and small and fan out on the engine inside one step, and
a job may hold one kind of partition only, which is the shard.
"""

import dagster as dg

from assets_defs.plan import Plan
from assets_defs.sources.cutouts import cutouts_assets
from assets_defs.sources.generated import generated_assets
from assets_defs.sources.layouts import layouts_assets
from assets_defs.sources.mulan import mulan_assets
from assets_defs.sources.openimages import openimages_assets
from assets_defs.sources.pairs import pairs_assets


def source_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """All assets before the library, and the pairs, which follow it."""
    parts = (mulan_assets, cutouts_assets, generated_assets, openimages_assets, layouts_assets, pairs_assets)
    return [definition for part in parts for definition in part(plan)]
