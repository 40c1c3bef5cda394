"""What a language model is asked: instructions, one request's words, the shape of its answer. Nothing is sent here.

All that decides what it writes is in `recipe`.
"""

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
Every prompt must name something different: no synonyms, no two spellings or sizes or colours of one thing.
Begin with what people would think of first and go on to what is less usual."""
NUM_EXAMPLES = 3


class PromptList(BaseModel):
    """An answer, as the model is made to shape it and as it is checked."""

    model_config = ConfigDict(extra="forbid")

    prompts: list[str] = Field(description="names of objects")


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        id: unique in a ledger, e.g. `00012-common-object`; a batch's answers are matched by it.
        category: whose things are asked for.
        count: how many.
        seed: sent with it.
        letters: (first, last) initial letters to prefer, where several requests of a batch share a category.
    """

    id: str
    category: str
    count: int
    seed: int
    letters: tuple[str, str] | None = None


def examples() -> dict[str, list[str]]:
    """What each category means, by its first built-in prompts."""
    shown: dict[str, list[str]] = {name: [] for name in categories()}
    for prompt in builtin_prompts(NUM_EXAMPLES):
        shown[prompt.category].append(prompt.text)
    return shown


def recipe(config: PromptsConfig) -> Recipe:
    """What decides the prompts that a model writes.

    How many are wanted, how many are asked for at once and by which way are no part of it: asking for more appends. Nor
    is the server's address, for a model behind another proxy or port is the same model and must not be paid twice; the
    ledger names the server of every answer.
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


def messages(ask: Ask, known: list[str]) -> list[dict[str, str]]:
    """The words of a request; `known` are the category's prompts so far, which the model is told to leave out."""
    words = [f"Category: {ask.category} (such as {', '.join(examples()[ask.category])}). Write {ask.count} prompts."]
    if ask.letters:
        first, last = ask.letters
        words.append(f"Prefer names that begin with a letter from {first} to {last}.")
    if known:
        words.append(f"These are there already, write others: {', '.join(known)}.")
    return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": "\n".join(words)}]


def options(config: PromptsConfig, ask: Ask) -> dict[str, Any]:
    """Everything of a request but its messages and the answer's shape."""
    chosen: dict[str, Any] = {
        "model": config.model,
        "seed": ask.seed,
        "max_completion_tokens": config.max_answer_tokens,
    }
    if config.temperature is not None:
        chosen["temperature"] = config.temperature
    return chosen


def response_format() -> dict[str, Any]:
    """The strict schema as the chat API takes it; a batch's lines carry it, the client makes its own otherwise."""
    schema = PromptList.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": "PromptList", "strict": True, "schema": schema}}
