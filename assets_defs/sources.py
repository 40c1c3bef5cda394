"""Assets of the sources: annotations, prompts, photographs, and the foregrounds taken from them.

They are not partitioned in Dagster: their shards are many and small, and fan out on the engine inside one step.
"""

import dagster as dg

from assets_defs.metadata import check, report_metadata
from assets_defs.plan import Plan
from pipelines import checks
from pipelines.foregrounds.mulan.files import find_annotations
from pipelines.foregrounds.prompts import builtin_prompts
from pipelines.randomness import digest

GROUP = "sources"
OWNERS = ["team:data"]


def source_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """Everything before the library."""
    factory, profile = plan.factory, plan.profile
    packaged = "Here a small tree in MULAN's byte format stands in, made from packaged photographs. "

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"file"},
        description="MULAN's annotation files (`<id>.p.zl`) with their COCO photographs. "
        + (packaged if profile.mulan.source == "packaged" else "")
        + "Observed, never changed: its version is the list of files with their sizes.",
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

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"table"},
        code_version="1",
        description="What foregrounds are generated from: objects of the paper's ten categories. The built-in list.",
    )
    def foreground_prompts() -> dg.MaterializeResult:
        prompts = builtin_prompts(profile.generated.prompts_per_category)
        records = [dg.TableRecord({"category": prompt.category, "prompt": prompt.text}) for prompt in prompts]
        return dg.MaterializeResult(
            metadata={"dagster/row_count": len(prompts), "prompts": dg.MetadataValue.table(records)},
            data_version=dg.DataVersion(digest(*prompts).hex()[:16]),
        )

    mulan = factory.mulan_foregrounds

    @dg.asset(
        deps=[mulan_annotations],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"webp"},
        code_version=plan.code_version(mulan),
        check_specs=[dg.AssetCheckSpec("quarantine_share", asset="mulan_foregrounds", blocking=True)],
        description="Real foregrounds: MULAN's instances rebuilt from annotation and photograph, judged by the gates, "
        "colour bled, stored as lossless WebP. Rich texture, imperfect shapes. Unusable files go to quarantine.",
    )
    def mulan_foregrounds() -> dg.MaterializeResult:
        report = factory.run(mulan)
        share = check("quarantine_share", checks.quarantine_share(report, profile.checks))
        return dg.MaterializeResult(metadata=report_metadata(report, factory.store), check_results=[share])

    generated = factory.generated_foregrounds

    @dg.asset(
        deps=[foreground_prompts],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"webp"},
        code_version=plan.code_version(generated),
        check_specs=[dg.AssetCheckSpec("quarantine_share", asset="layerdiffuse_foregrounds", blocking=True)],
        description="Generated foregrounds, one for each prompt and seed: complete shapes. "
        + ("LayerDiffuse's place is taken by `procedural` drawn shapes." if profile.generated.generator == "procedural" else ""),
    )
    def layerdiffuse_foregrounds() -> dg.MaterializeResult:
        report = factory.run(generated)
        share = check("quarantine_share", checks.quarantine_share(report, profile.checks))
        return dg.MaterializeResult(metadata=report_metadata(report, factory.store), check_results=[share])

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"jpeg"},
        check_specs=[dg.AssetCheckSpec("quarantine_share", asset="openimages_index", blocking=True)],
        description="The index of background photographs: each opened once, judged by size and sharpness, with "
        "licence and attribution. "
        + ("Packaged photographs stand in for OpenImages." if profile.backgrounds.source == "packaged" else ""),
    )
    def openimages_index() -> dg.MaterializeResult:
        factory.write_packaged_sources()
        report = factory.run(factory.backgrounds)
        share = check("quarantine_share", checks.quarantine_share(report, profile.checks))
        metadata = report_metadata(report, factory.store) | {"photographs": dg.MetadataValue.path(factory.photographs.root)}
        return dg.MaterializeResult(metadata=metadata, check_results=[share])

    return [mulan_annotations, foreground_prompts, mulan_foregrounds, layerdiffuse_foregrounds, openimages_index]
