"""What a language model is asked in one chat completion. Nothing is sent here; `answers` reads what comes back.

All that decides what the model writes is in `recipe`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from decoupage.fingerprint import Recipe
from pipelines.config import PromptsConfig
from pipelines.foregrounds.prompts.builtin import builtin_prompts, categories

INSTRUCTIONS = """\
You write prompts for a generator that draws one object on a transparent canvas.
Each prompt names one plain object, person or animal by a noun, with at most three words before it.
Write in English, in lower case, in the singular, without article and punctuation.
Never write a place, a background, a scene, an action with another object, a brand, a named person or figure.
Never write a person under age in swimwear, underwear or the like.
Every prompt must name something different: no synonyms, no two spellings or sizes or colours of one thing.
Begin with what people would think of first and go on to what is less usual."""
NUM_EXAMPLES = 3
FORM = 'Answer with nothing but JSON of this form: {"prompts": ["...", "..."]}'
"""Said where the server takes no schema."""


class PromptList(BaseModel):
    """An answer, as the model is made to shape it."""

    model_config = ConfigDict(extra="forbid")

    prompts: list[str] = Field(description="names of objects")


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        id: unique in a ledger, e.g. `00012-common-object`; answers of a batch are matched by it.
        category: the category that the prompts are for.
        count: how many prompts are requested.
        seed: sampling seed sent with the request.
        letters: (first, last) initial letters to prefer, where several requests of a batch share a category.
    """

    id: str
    category: str
    count: int
    seed: int
    letters: tuple[str, str] | None = None


def examples() -> dict[str, list[str]]:
    """Category -> its first built-in prompts, which show the model what the category means."""
    shown: dict[str, list[str]] = {name: [] for name in categories()}
    for prompt in builtin_prompts(NUM_EXAMPLES):
        shown[prompt.category].append(prompt.text)
    return shown


def recipe(config: PromptsConfig) -> Recipe:
    """Everything that decides the prompts that a model writes.

    The number of prompts, the number per request and the API used are not part of it: asking for more appends. Nor is
    the server's address, because a model behind another proxy or port is the same model and must not be paid twice;
    the ledger names the server of every answer.
    """
    return {
        "version": 1,
        "model": config.model,
        "temperature": config.temperature,
        "seed": config.seed,
        "instructions": INSTRUCTIONS,
        "schema": PromptList.model_json_schema(),
        "examples": examples(),
    }


def messages(ask: Ask, known: list[str], has_schema: bool = True) -> list[dict[str, str]]:
    """The chat messages of a request.

    Args:
        known: the category's prompts so far, which the model must not repeat.
        has_schema: the request holds a schema; without one the form of an answer is said in words.
    """
    words = [f"Category: {ask.category} (such as {', '.join(examples()[ask.category])}). Write {ask.count} prompts."]
    if ask.letters:
        first, last = ask.letters
        words.append(f"Prefer names that begin with a letter from {first} to {last}.")
    if known:
        words.append(f"These are there already, write others: {', '.join(known)}.")
    if not has_schema:
        words.append(FORM)
    return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": "\n".join(words)}]


def options(config: PromptsConfig, ask: Ask, fields: Collection[str]) -> dict[str, Any]:
    """The parameters of a request besides its messages, of these fields."""
    values = {
        "seed": ask.seed,
        "temperature": config.temperature,
        "max_completion_tokens": config.max_answer_tokens,
        "max_tokens": config.max_answer_tokens,
        "response_format": response_format(),
    }
    return {"model": config.model} | {name: values[name] for name in fields}


def response_format() -> dict[str, Any]:
    """The strict JSON schema of `PromptList` as the chat API takes it."""
    schema = PromptList.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": "PromptList", "strict": True, "schema": schema}}
