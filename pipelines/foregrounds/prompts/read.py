"""The prompts of a profile, wherever they come from; the same list for the stage and for the asset."""

from pipelines.config import DataConfig
from pipelines.foregrounds.prompts.builtin import Prompt, builtin_prompts
from pipelines.store import Store


def read_prompts(config: DataConfig, store: Store) -> list[Prompt]:
    """The first `generated.prompts_per_category` prompts of each category, category by category.

    Raises:
        ValueError: there are fewer built-in prompts than asked for.
    """
    return builtin_prompts(config.generated.prompts_per_category)
