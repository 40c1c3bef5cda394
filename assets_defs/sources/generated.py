"""Assets of generated foregrounds: the prompts, and what is generated from them."""

from collections import Counter
from collections.abc import Sequence

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import Metadata, counts_table, table
from assets_defs.plan import Plan
from assets_defs.sources.foregrounds import GROUP, OWNERS, foregrounds_asset
from decoupage.randomness import digest
from pipelines.foregrounds.prompts import Prompt, read_prompts
from pipelines.foregrounds.prompts.write import PromptsReport, write_prompts


def generated_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The assets `foreground_prompts` and `layerdiffuse_foregrounds`."""
    is_stand_in = plan.profile.generated.generator == "rendered"
    foregrounds = foregrounds_asset(
        plan,
        "layerdiffuse_foregrounds",
        "foreground_prompts",
        plan.factory.generated_foregrounds,
        "Generated foregrounds, one for each prompt and seed: complete shapes."
        + (" Rendered objects (`rendered`) stand in for LayerDiffuse." if is_stand_in else ""),
    )
    return [_prompts(plan), foregrounds]


def _prompts(plan: Plan) -> dg.AssetsDefinition:
    factory, written = plan.factory, plan.profile.prompts.source == "written"
    origin = f"written by {plan.profile.prompts.model}" if written else "a built-in list"
    what = f"objects of the paper's ten categories, {origin}"
    if plan.profile.generated.generator == "rendered":
        what = "the names of the rendered objects that stand in for them"

    @asset(
        deps=["prompt_list"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"openai"} if written else {"table"},
        description=f"Prompts that foregrounds are generated from: {what}.",
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


# --- metadata -----------------------------------------------------------------------------------------------------


SHOWN = 12
"""Prompts of each category in the table; the whole list is in the store."""


def prompts_metadata(prompts: Sequence[Prompt]) -> Metadata:
    """Metadata of the list: numbers by category, and the first prompts of each."""
    by_category: dict[str, list[str]] = {}
    for prompt in prompts:
        by_category.setdefault(prompt.category, []).append(prompt.text)
    rows = ({"category": name, "prompt": text} for name, texts in by_category.items() for text in texts[:SHOWN])
    return {
        "by_category": counts_table(Counter(prompt.category for prompt in prompts), "category"),
        "prompts": table(rows),
    }


def writing_metadata(report: PromptsReport) -> Metadata:
    """Metadata of writing the list, over all runs: requests, tokens, time; the cost where the profile names prices."""
    metadata: Metadata = {
        "model": dg.MetadataValue.text(report.model),
        "new_prompts": dg.MetadataValue.int(report.num_new),
        "requests": counts_table(report.requests, "outcome"),
        "rejected_by_reason": counts_table(report.rejected, "reason"),
        "tokens_in": dg.MetadataValue.int(report.tokens_in),
        "tokens_out": dg.MetadataValue.int(report.tokens_out),
        "seconds": dg.MetadataValue.float(report.seconds),
    }
    if report.cost_usd is not None:
        metadata["cost_usd"] = dg.MetadataValue.float(report.cost_usd)
    return metadata
