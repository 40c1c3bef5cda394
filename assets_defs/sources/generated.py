"""Generated foregrounds: the prompts, and what is drawn of them."""

import dagster as dg

from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import GROUP, OWNERS, foregrounds_asset
from pipelines.foregrounds.prompts import builtin_prompts
from pipelines.randomness import digest


def generated_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """Prompts and foregrounds."""
    stand_in = "`procedural` drawn shapes" if plan.profile.generated.generator == "procedural" else ""
    foregrounds = foregrounds_asset(
        plan,
        "layerdiffuse_foregrounds",
        "foreground_prompts",
        plan.factory.generated_foregrounds,
        "Generated foregrounds, one for each prompt and seed: complete shapes."
        + (f" LayerDiffuse's place is taken by {stand_in}." if stand_in else ""),
    )
    return [_prompts(plan), foregrounds]


def _prompts(plan: Plan) -> dg.AssetsDefinition:
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
