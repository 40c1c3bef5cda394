"""Reads a chat completion's body, whoever sent it: an answer that is not of the asked shape is told, never trusted."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from pipelines.foregrounds.prompts.asking import PromptList

MAX_DETAIL = 300


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
    """What came of one request.

    Attributes:
        outcome: `answered`, `truncated` (out of tokens), `refused`, `malformed` (not of the asked shape), or
            `unanswered` (a batch came back without it).
        texts: the prompts as written; empty unless answered.
        response: the server's id of the answer.
        model: the model that the server names.
        tokens_in: paid for the question.
        tokens_out: paid for the answer.
        detail: what was wrong, for a person.
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
    """(outcome, texts, detail)."""
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
