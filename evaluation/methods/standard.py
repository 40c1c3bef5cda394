"""The methods of a first evaluation: what needs no model, the base, and the adapter on it."""

from typing import Any

from evaluation.config import EvaluationConfig
from evaluation.methods.classical import classical_methods
from evaluation.methods.models import adapter_facts, adapter_method, base_facts, base_method
from evaluation.methods.spec import Method


def standard_methods(
    config: EvaluationConfig, adapter: str, base_source: str | None = None
) -> tuple[list[Method], dict[str, dict[str, Any]]]:
    """(methods, facts that identify their weights).

    Args:
        adapter: folder or hub id of a published adapter; it names its base.
        base_source: folder or hub id of that base; None = the published one.

    Raises:
        ValueError: the adapter or the base is not there, or damaged.
    """
    facts = adapter_facts(adapter)
    sampling = (config.num_steps, config.seed)
    methods = [
        *classical_methods(),
        base_method(facts["base"], base_source, *sampling),
        adapter_method(adapter, base_source, *sampling),
    ]
    return methods, {"base": base_facts(facts["base"]), "adapter": facts}
