"""The methods of an evaluation: what needs no model, the recorded baselines, the base, and the adapter on it."""

from evaluation.config import EvaluationConfig
from evaluation.method import MethodRecipe
from evaluation.methods.baselines import recorded_recipes
from evaluation.methods.classical import classical_recipes
from evaluation.methods.models import model_recipes
from pipelines.stages.store import Store


def standard_recipes(
    config: EvaluationConfig,
    adapter: str,
    base_source: str | None = None,
    root: Store | None = None,
    test_set: str = "held_out",
) -> list[MethodRecipe]:
    """In the order of reports. Nothing is loaded.

    Args:
        adapter: folder or hub id of a published adapter; it names its base.
        base_source: folder or hub id of that base; None = the published one.
        root: where baselines are recorded, on the test set of this name; None = without them.

    Raises:
        ValueError: the adapter is not there, or damaged.
        BadSetup: a baseline was recorded with other settings than the profile's.
    """
    models = model_recipes(adapter, base_source, config)
    baselines = recorded_recipes(config, test_set, root) if root else []
    return [*classical_recipes(), *baselines, *models]
