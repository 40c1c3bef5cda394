"""Assets of the sources: annotations, prompts, photographs, and the foregrounds taken from them.

They are not partitioned in Dagster: their shards are many and small and fan out on the engine inside one step, and
a job may hold one kind of partition only, which is the shard.
"""

import dagster as dg

from assets_defs.metadata import check, check_spec, picture, report_metadata
from assets_defs.plan import Plan
from pipelines import checks
from pipelines.foregrounds.mulan.files import find_annotations
from pipelines.foregrounds.prompts import builtin_prompts
from pipelines.library.catalogue import read_backgrounds, read_foregrounds
from pipelines.previews import background_tiles, foreground_tiles, preview
from pipelines.randomness import digest
from pipelines.scenes.assets import Assets
from pipelines.stage import Stage

GROUP = "sources"
OWNERS = ["team:data"]


def source_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """Everything before the library."""
    factory, profile = plan.factory, plan.profile
    packaged = profile.mulan.source == "packaged"
    mulan = "a small tree in its byte format, made from packaged photographs, stands in" if packaged else ""
    generator = "`procedural` drawn shapes" if profile.generated.generator == "procedural" else ""
    return [
        _mulan_annotations(plan, mulan),
        _foreground_prompts(plan),
        _foregrounds(
            plan,
            "mulan_foregrounds",
            "mulan_annotations",
            factory.mulan_foregrounds,
            "Real foregrounds: MULAN's instances rebuilt from annotation and photograph, judged by the gates, colour "
            "bled, stored as lossless WebP. Rich texture, imperfect shapes. Unusable files go to quarantine.",
        ),
        _foregrounds(
            plan,
            "layerdiffuse_foregrounds",
            "foreground_prompts",
            factory.generated_foregrounds,
            "Generated foregrounds, one for each prompt and seed: complete shapes."
            + (f" LayerDiffuse's place is taken by {generator}." if generator else ""),
        ),
        _openimages_index(plan),
    ]


def _mulan_annotations(plan: Plan, stand_in: str) -> dg.AssetsDefinition:
    factory = plan.factory

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"file"},
        description="MULAN's annotation files (`<id>.p.zl`) with their COCO photographs. Observed, never changed: its "
        "version is the list of files with their sizes." + (f" Here {stand_in}." if stand_in else ""),
    )
    def mulan_annotations() -> dg.MaterializeResult:
        factory.write_packaged_sources()
        annotations, images = factory.mulan_folders
        files = [(file.id, file.path.stat().st_size) for file in find_annotations(annotations)]
        return dg.MaterializeResult(
            metadata={
                "annotations": len(files),
                "megabytes": round(sum(size for _, size in files) / 1e6, 2),
                "dagster/uri": str(annotations),
                "images": dg.MetadataValue.path(str(images)),
            },
            data_version=dg.DataVersion(digest(*sorted(files)).hex()[:16]),
        )

    return mulan_annotations


def _foreground_prompts(plan: Plan) -> dg.AssetsDefinition:
    per_category = plan.profile.generated.prompts_per_category

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"table"},
        description="What foregrounds are generated from: objects of the paper's ten categories, a built-in list.",
    )
    def foreground_prompts() -> dg.MaterializeResult:
        prompts = builtin_prompts(per_category)
        records = [dg.TableRecord({"category": prompt.category, "prompt": prompt.text}) for prompt in prompts]
        return dg.MaterializeResult(
            metadata={"dagster/row_count": len(prompts), "prompts": dg.MetadataValue.table(records)},
            data_version=dg.DataVersion(digest(*prompts).hex()[:16]),
        )

    return foreground_prompts


def _foregrounds(plan: Plan, name: str, upstream: str, stage: Stage, description: str) -> dg.AssetsDefinition:
    factory, profile = plan.factory, plan.profile

    @dg.asset(
        name=name,
        deps=[upstream],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"webp"},
        code_version=plan.code_version(stage),
        check_specs=[check_spec(name, "quarantine_share", checks.quarantine_share)],
        description=description,
    )
    def foregrounds() -> dg.MaterializeResult:
        report = factory.run(stage)
        records = read_foregrounds(factory.store, stage.name)
        metadata = report_metadata(report, factory.store)
        if records:
            tiles = foreground_tiles(Assets(factory.store, factory.photographs), records)
            metadata["preview"] = picture(preview(tiles))
        share = check("quarantine_share", checks.quarantine_share(report, profile.checks))
        return dg.MaterializeResult(metadata=metadata, check_results=[share])

    return foregrounds


def _openimages_index(plan: Plan) -> dg.AssetsDefinition:
    factory, profile = plan.factory, plan.profile
    stand_in = " Packaged photographs stand in for OpenImages." if profile.backgrounds.source == "packaged" else ""

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"jpeg"},
        code_version=plan.code_version(factory.backgrounds),
        check_specs=[check_spec("openimages_index", "quarantine_share", checks.quarantine_share)],
        description="The index of background photographs: each opened once, judged by size and sharpness, with "
        "rotation, licence and attribution." + stand_in,
    )
    def openimages_index() -> dg.MaterializeResult:
        factory.write_packaged_sources()
        report = factory.run(factory.backgrounds)
        records = read_backgrounds(factory.store, factory.backgrounds.name)
        metadata = report_metadata(report, factory.store)
        metadata["photographs"] = dg.MetadataValue.path(factory.photographs.root)
        if records:
            tiles = background_tiles(Assets(factory.store, factory.photographs), records)
            metadata["preview"] = picture(preview(tiles))
        share = check("quarantine_share", checks.quarantine_share(report, profile.checks))
        return dg.MaterializeResult(metadata=metadata, check_results=[share])

    return openimages_index
