"""Assets of the library: two small unpartitioned tables between the sources and the scenes.

Their data version is the hash of their content, so an unchanged library leaves everything after it fresh.
"""

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import check, check_spec, library_metadata
from assets_defs.plan import Plan
from decoupage.fingerprint import fingerprint
from pipelines import checklists
from pipelines.library.assets import Assets
from pipelines.previews import background_tiles, foreground_tiles, preview, write_sheet

GROUP = "library"
OWNERS = ["team:data"]
SHOWN = 48


def library_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The assets `foreground_library` and `background_library`."""
    factory, profile = plan.factory, plan.profile
    version = fingerprint({"library": profile.library.model_dump(mode="json", exclude={"takedowns"})})
    sources = ["layerdiffuse_foregrounds"]
    sources += ["mulan_foregrounds"] if profile.mulan.source != "none" else []
    sources += ["cutout_foregrounds"] if profile.cutouts.source != "none" else []

    @asset(
        deps=[*sources, "takedown_list", "exclusion_list"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        code_version=version,
        check_specs=[check_spec("foreground_library", *named) for named in checklists.FOREGROUND_LIBRARY.items()],
        description="The catalogue of usable foregrounds over all sources: hash, size, alpha figures, completeness, "
        "licence, attribution, split. Exact and near duplicates and takedowns are left out.",
    )
    def foreground_library() -> dg.MaterializeResult:
        """Writes `library/foregrounds.parquet`. Raises BadSetup: nothing is usable, or a list is damaged."""
        library = factory.foreground_library()
        tiles = foreground_tiles(Assets(factory.store, factory.photographs), library.records, SHOWN)
        write_sheet(factory.store, f"library/{library.name}.jpg", tiles)
        return dg.MaterializeResult(
            metadata=library_metadata(library, preview(tiles), factory.store),
            data_version=dg.DataVersion(library.sha256[:16]),
            check_results=[check(*named) for named in checklists.check_foreground_library(library, profile).items()],
        )

    @asset(
        deps=["background_layouts" if factory.layouts else "openimages_index", "takedown_list", "exclusion_list"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        code_version=version,
        check_specs=[check_spec("background_library", *named) for named in checklists.BACKGROUND_LIBRARY.items()],
        description="The catalogue of usable backgrounds: photographs without a salient object in the way, with "
        "rotation, licence, attribution and split.",
    )
    def background_library() -> dg.MaterializeResult:
        """Writes `library/backgrounds.parquet`. Raises BadSetup: nothing is usable, or a list is damaged."""
        library = factory.background_library()
        tiles = background_tiles(Assets(factory.store, factory.photographs), library.records, SHOWN)
        write_sheet(factory.store, f"library/{library.name}.jpg", tiles)
        return dg.MaterializeResult(
            metadata=library_metadata(library, preview(tiles), factory.store),
            data_version=dg.DataVersion(library.sha256[:16]),
            check_results=[check(*named) for named in checklists.check_background_library(library, profile).items()],
        )

    return [foreground_library, background_library]
