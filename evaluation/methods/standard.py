"""The methods of an evaluation: what needs no model, the recorded baselines, the base, and the adapter on it."""

from typing import Any

from evaluation.config import EvaluationConfig
from evaluation.methods.baselines import recorded_methods
from evaluation.methods.classical import classical_methods
from evaluation.methods.models import adapter_facts, adapter_method, base_facts, base_method
from evaluation.methods.spec import Method
from pipelines.stages.store import Store


def standard_methods(
    config: EvaluationConfig,
    adapter: str,
    base_source: str | None = None,
    root: Store | None = None,
    test_set: str = "held_out",
) -> tuple[list[Method], dict[str, dict[str, Any]]]:
    """(methods, facts that identify their weights).

    Args:
        adapter: folder or hub id of a published adapter; it names its base.
        base_source: folder or hub id of that base; None = the published one.
        root: where baselines are recorded, on the test set of this name; None = without them.

    Raises:
        ValueError: the adapter or the base is not there, or damaged.
        BadSetup: a baseline was recorded with other settings than the profile's.
    """
    facts = adapter_facts(adapter)
    baselines, theirs = recorded_methods(config, test_set, root) if root else ([], {})
    sampling = (config.num_steps, config.seed)
    methods = [
        *classical_methods(),
        *baselines,
        base_method(facts["base"], base_source, *sampling),
        adapter_method(adapter, base_source, *sampling),
    ]
    return methods, {"base": base_facts(facts["base"]), "adapter": facts, **theirs}
