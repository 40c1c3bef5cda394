"""The built-in prompts, packaged with the product.

The categories are those of the paper's table of example prompts; `prompts.csv` holds plain nouns without scene,
brand or named person, most typical first.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("prompts.csv")


@dataclass(frozen=True)
class Prompt:
    """One object to generate: `text` names it, `category` is one of `categories()`."""

    category: str
    text: str


@cache
def _builtin() -> dict[str, tuple[Prompt, ...]]:
    with _FILE.open(newline="", encoding="utf-8") as file:
        prompts = [Prompt(row["category"], row["prompt"]) for row in csv.DictReader(file)]
    categories = dict.fromkeys(prompt.category for prompt in prompts)
    return {name: tuple(prompt for prompt in prompts if prompt.category == name) for name in categories}


def categories() -> tuple[str, ...]:
    """The ten categories, in the paper's order."""
    return tuple(_builtin())


def num_builtin() -> int:
    """Number of prompts that every category holds at least."""
    return min(len(prompts) for prompts in _builtin().values())


def builtin_prompts(per_category: int) -> list[Prompt]:
    """The first prompts of each category, category by category.

    Asking for more appends to each category and changes no earlier prompt.

    Raises:
        ValueError: a category holds fewer than requested.
    """
    most = num_builtin()
    if not 1 <= per_category <= most:
        raise ValueError(
            f"generated.prompts_per_category must be in [1, {most}] with the built-in prompts, got {per_category}; "
            "prompts.source = 'written' brings more"
        )
    return [prompt for prompts in _builtin().values() for prompt in prompts[:per_category]]
