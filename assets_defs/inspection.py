"""The asset of the dataset in FiftyOne. It has its own job, because it needs FiftyOne and MongoDB."""

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import counts_table, picture, readable
from assets_defs.plan import Plan
from pipelines.previews import preview, scene_tiles
from pipelines.stages.manifest import read_manifest

GROUP = "inspection"


def inspection_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The asset `fiftyone_dataset`."""
    factory, profile = plan.factory, plan.profile

    @asset(
        deps=["dataset", "evaluation"],
        group_name=GROUP,
        owners=["team:data"],
        kinds={"fiftyone", "mongodb"},
        description="Training scenes and evaluated cases in FiftyOne: composites with masks, layers, maps, predictions "
        "next to the truth, saved views. Only new items are added. Tag pictures `reject` or `relabel` in the App, then "
        "run `decoupage inspect --apply`: the next run leaves those assets out.",
    )
    def fiftyone_dataset() -> dg.MaterializeResult:
        """Fills the dataset. Raises BadSetup: FiftyOne or a MongoDB is absent; the message says how to get it."""
        # Its modules bring pandas; every worker loads this one.
        from evaluation.fiftyone.app import app_url
        from evaluation.fiftyone.database import database, folder_for
        from evaluation.fiftyone.inspect import build_dataset

        settings = profile.evaluation.inspection
        with database(folder_for(profile.evaluation, factory.store)):
            found = build_dataset(factory, profile.evaluation, profile.name)
        first = read_manifest(factory.store, factory.shards.name, factory.shards.shards()[0])
        tiles = scene_tiles(factory.store, first) if first is not None else []
        shown = {"preview": picture(preview(tiles))} if tiles else {}
        changes = {"added": found.changes.added, "removed": found.changes.removed, "unchanged": found.changes.kept}
        return dg.MaterializeResult(
            metadata=shown
            | {
                "app": dg.MetadataValue.url(app_url(settings.address, settings.port, found.name)),
                "how_to_open": dg.MetadataValue.text("make inspect, or decoupage inspect"),
                "scenes": found.num_scenes,
                "cases": found.num_cases,
                "dagster/row_count": found.num_samples,
                "groups_by_change": counts_table(changes, "what"),
                "tags": counts_table(found.tags, "tag"),
                "views": readable(list(found.views)),
            }
        )

    return [fiftyone_dataset]
