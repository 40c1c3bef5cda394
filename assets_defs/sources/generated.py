"""Generated foregrounds: the prompts, and what is drawn of them."""

import dagster as dg

from assets_defs.asset import asset
from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import GROUP, OWNERS, foregrounds_asset
from assets_defs.sources.prompts import prompts_metadata, writing_metadata
from decoupage.randomness import digest
from pipelines.foregrounds.prompts import read_prompts
from pipelines.foregrounds.prompts.write import write_prompts


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
    factory, written = plan.factory, plan.profile.prompts.source == "written"
    origin = f"written by {plan.profile.prompts.model}" if written else "a built-in list"

    @asset(
        deps=["prompt_list"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"openai"} if written else {"table"},
        description=f"What foregrounds are generated from: objects of the paper's ten categories, {origin}.",
    )
    def foreground_prompts() -> dg.MaterializeResult:
        """Writes what the list lacks. Raises BadSetup: no key, or a list that another run writes."""
        # A list that is long enough is not asked for again, and costs nothing.
        report = write_prompts(plan.profile, factory.store) if written else None
        prompts = read_prompts(plan.profile, factory.store)
        metadata = {"dagster/row_count": dg.MetadataValue.int(len(prompts))} | prompts_metadata(prompts)
        if report:
            metadata |= writing_metadata(report)
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(digest(*prompts).hex()[:16]))

    return foreground_prompts
