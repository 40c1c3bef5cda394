"""One chat completion: what a language model is asked, and how its answer is read. Nothing is sent here.

All that decides what the model writes is in `recipe`. An answer that is not of the requested form is reported with its
outcome, never trusted.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
MAX_DETAIL = 300


class PromptList(BaseModel):
    """An answer, as the model is made to shape it and as it is checked."""

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


def messages(ask: Ask, known: list[str]) -> list[dict[str, str]]:
    """The chat messages of a request; `known` are the category's prompts so far, which the model must not repeat."""
    words = [f"Category: {ask.category} (such as {', '.join(examples()[ask.category])}). Write {ask.count} prompts."]
    if ask.letters:
        first, last = ask.letters
        words.append(f"Prefer names that begin with a letter from {first} to {last}.")
    if known:
        words.append(f"These are there already, write others: {', '.join(known)}.")
    return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": "\n".join(words)}]


def options(config: PromptsConfig, ask: Ask) -> dict[str, Any]:
    """The parameters of a request besides its messages and the response format."""
    chosen: dict[str, Any] = {
        "model": config.model,
        "seed": ask.seed,
        "max_completion_tokens": config.max_answer_tokens,
    }
    if config.temperature is not None:
        chosen["temperature"] = config.temperature
    return chosen


def response_format() -> dict[str, Any]:
    """The strict JSON schema of `PromptList` as the chat API takes it; needed in batches, where no client adds it."""
    schema = PromptList.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": "PromptList", "strict": True, "schema": schema}}


class _Usage(BaseModel):
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    finish_reason: str | None = None
    message: _Message = _Message()


class _Body(BaseModel):
    id: str = ""
    model: str = ""
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


@dataclass(frozen=True)
class Answer:
    """The result of one request.

    Attributes:
        outcome: `answered`, `truncated` (out of tokens), `refused`, `malformed` (not of the requested form), or
            `unanswered` (a batch came back without it).
        texts: the prompts as written; empty unless answered.
        response: the server's id of the answer.
        model: the model that the server names.
        tokens_in: input tokens paid.
        tokens_out: output tokens paid, reasoning included.
        detail: what was wrong, as a sentence.
    """

    outcome: str
    texts: tuple[str, ...] = ()
    response: str = ""
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    detail: str = ""


def read_answer(body: str | bytes | dict[str, Any]) -> Answer:
    """The answer in a chat completion's body (JSON, or already an object)."""
    try:
        read = _Body.model_validate(body) if isinstance(body, dict) else _Body.model_validate_json(body)
    except ValidationError as error:
        return Answer("malformed", detail=_sentence(error))
    outcome, texts, detail = _content(read.choices[0])
    usage = read.usage or _Usage()
    return Answer(outcome, texts, read.id, read.model, usage.prompt_tokens, usage.completion_tokens, detail)


def _content(choice: _Choice) -> tuple[str, tuple[str, ...], str]:
    """(outcome, texts, detail) of one choice of a completion."""
    if choice.finish_reason == "length":
        return "truncated", (), "the answer ran out of tokens (prompts.max_answer_tokens)"
    if choice.finish_reason == "content_filter" or choice.message.refusal:
        return "refused", (), (choice.message.refusal or "content filter")[:MAX_DETAIL]
    try:
        return "answered", tuple(PromptList.model_validate_json(choice.message.content or "").prompts), ""
    except ValidationError as error:
        return "malformed", (), _sentence(error)


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")[:MAX_DETAIL]
