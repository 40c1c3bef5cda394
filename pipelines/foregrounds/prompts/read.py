"""The prompts of a profile, wherever they come from; the same list for the stage and for the asset."""

from decoupage.faults import BadSetup
from pipelines.config import DataConfig
from pipelines.foregrounds.prompts.builtin import Prompt, builtin_prompts, categories
from pipelines.foregrounds.prompts.ledger import ledger_path, read_ledger
from pipelines.stages.store import Store


def read_prompts(config: DataConfig, store: Store) -> list[Prompt]:
    """The first `generated.prompts_per_category` prompts of each category, category by category.

    Raises:
        ValueError: there are fewer built-in prompts than asked for.
        BadSetup: the list is to be written by a model, and is not there yet or too short.
    """
    wanted = config.generated.prompts_per_category
    if config.prompts.source == "builtin":
        return builtin_prompts(wanted)
    ledger = read_ledger(config.prompts, store)
    found = {name: ledger.texts(name)[:wanted] if ledger else [] for name in categories()}
    short = {name: len(texts) for name, texts in found.items() if len(texts) < wanted}
    if short:
        there = ", ".join(f"{name} {number}" for name, number in short.items())
        raise BadSetup(
            f"{store.url(ledger_path(config.prompts))} lacks prompts: {wanted} wanted in each category, there are "
            f"{there}. Write them with `decoupage prompts write` (same profile and root), or set prompts.source = "
            "'builtin'"
        )
    return [Prompt(name, text) for name, texts in found.items() for text in texts]
