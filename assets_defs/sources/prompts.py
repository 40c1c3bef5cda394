"""Metadata of the prompts: how many, which, and what writing them took."""

from collections import Counter
from collections.abc import Sequence

import dagster as dg

from assets_defs.metadata import Metadata, counts_table
from pipelines.foregrounds.prompts import Prompt
from pipelines.foregrounds.prompts.write import PromptsReport

SHOWN = 12
"""Prompts of a category in the table; a long list lies whole in the store."""


def prompts_metadata(prompts: Sequence[Prompt]) -> Metadata:
    """Numbers by category, and the first prompts of each."""
    by_category: dict[str, list[str]] = {}
    for prompt in prompts:
        by_category.setdefault(prompt.category, []).append(prompt.text)
    records = [
        dg.TableRecord({"category": name, "prompt": text})
        for name, texts in by_category.items()
        for text in texts[:SHOWN]
    ]
    return {
        "by_category": counts_table(Counter(prompt.category for prompt in prompts), "category"),
        "prompts": dg.MetadataValue.table(records),
    }


def writing_metadata(report: PromptsReport) -> Metadata:
    """What the list took, over all runs; the cost only where the profile names prices."""
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
