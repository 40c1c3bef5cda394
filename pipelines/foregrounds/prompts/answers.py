"""Reads what a chat completions server sends back: answers, and the faults that it reports.

Servers differ: ids and usage may be null, JSON may stand in a code fence, behind a block of thoughts or in prose, and
an error may come with status 200. What is not of the requested form is named with its outcome, never trusted.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from decoupage.text_files import printable

_MAX_STARTS = 1000
"""How many brackets of a text are looked at as the beginning of a JSON value: each may be read to its end."""
_MAX_TOKENS = 10**12
_MAX_REASON = 10_000
_FILTERED = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked")
_BUSY = ("rate_limit", "rate limit", "ratelimit", "too many requests", "overloaded", "resource_exhausted")
_BROKEN = ("server_error", "internal error", "internal_error", "timeout", "timed out", "unavailable", "bad gateway")


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
        text: what was written instead of prompts; empty where answered.
    """

    outcome: str
    texts: tuple[str, ...] = ()
    response: str = ""
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    detail: str = ""
    text: str = ""


def read_answer(body: str | dict[str, Any]) -> Answer:
    """The answer in a chat completion's body (JSON, or already an object)."""
    read = _json(body) if isinstance(body, str) else body
    if not isinstance(read, dict):
        return Answer("malformed", detail="the body is not a JSON object", text=storable(str(body)))
    usage = read.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    outcome, texts, detail, text = _content(read.get("choices"))
    return Answer(
        outcome,
        tuple(map(storable, texts)),
        _label(read.get("id")),
        _label(read.get("model")),
        _tokens(usage.get("prompt_tokens")),
        _tokens(usage.get("completion_tokens")),
        printable(detail),
        storable(text),
    )


def _content(choices: Any) -> tuple[str, list[str], str, str]:
    """(outcome, prompts, detail, text that holds no prompts) of a completion's choices."""
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return "malformed", [], "the answer has no choices", ""
    finish, message = choices[0].get("finish_reason"), choices[0].get("message")
    message = message if isinstance(message, dict) else {}
    text, refusal = _text(message.get("content")), message.get("refusal")
    if finish == "length":
        return "truncated", [], "the answer ran out of tokens (prompts.max_answer_tokens)", text
    if finish == "content_filter" or refusal:
        return "refused", [], str(refusal or "content filter"), text
    if not text.strip():
        return "malformed", [], f"the answer is empty (finish_reason {finish!r})", ""
    found = find_prompts(text)
    if found is None:
        return "malformed", [], 'the answer holds no {"prompts": [...]} of texts', text
    return "answered", found, "", ""


def _text(content: Any) -> str:
    """A message's text, which some servers give in parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def find_prompts(text: str) -> list[str] | None:
    """The first list of prompts in a text: after its thoughts, in a code fence or in prose; None = there is none.

    An object counts whose `prompts` are texts; or, in a text without one, a list of nothing but texts.
    """
    thoughts, closed, spoken = text.rpartition("</think>")
    values = list(_values(spoken if closed else thoughts + spoken))
    for value in values:
        if isinstance(value, dict) and _are_texts(value.get("prompts")):
            return list(value["prompts"])
    return next((value for value in values if _are_texts(value)), None)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _values(text: str) -> Iterator[Any]:
    """The JSON objects and lists in a text, the outermost ones, in order."""
    decoder, position = json.JSONDecoder(), 0
    for _ in range(_MAX_STARTS):
        starts = [start for start in (text.find("{", position), text.find("[", position)) if start >= 0]
        if not starts:
            return
        position = min(starts)
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
        else:
            yield value


def storable(text: str) -> str:
    """The text with what UTF-8 cannot hold escaped: JSON can spell half a character."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _label(value: Any) -> str:
    return printable(value) if isinstance(value, str) else ""


def _tokens(value: Any) -> int:
    counts = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return min(int(value), _MAX_TOKENS) if counts and value > 0 else 0


def _json(text: str) -> Any:
    """The value of a JSON text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# ---- faults


@dataclass(frozen=True)
class Report:
    """A fault as a server reports it.

    Attributes:
        status: of the answer; where that was 200, what the body says or means.
        message: the reason, in one printable line.
        codes: what the body calls it, in lower case: `code`, `type`, those of inner errors.
        fields: fields of the request that the body points at.
        text: the reason as the server wrote it, of bounded length.
        headers: of the answer.
    """

    status: int
    message: str
    codes: frozenset[str] = frozenset()
    fields: tuple[str, ...] = ()
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_filter(self) -> bool:
        """True where the server's content filter refused the request."""
        return any(name in code for code in self.codes for name in _FILTERED)


def read_report(status: int, body: str, headers: Mapping[str, str]) -> Report:
    """The fault in the body of an unsuccessful answer."""
    read = _json(body)
    error = read.get("error") or read if isinstance(read, dict) else body
    known = dict(_labels(error)) if isinstance(error, dict) else {}
    message = error.get("message") if isinstance(error, dict) else error
    said = message if isinstance(message, str) else json.dumps(message or error)
    codes = frozenset(str(value).lower() for name, value in known.items() if name[-1] in ("code", "type", "status"))
    fields = tuple(str(value) for name, value in known.items() if name[-1] == "param" or "loc" in name)
    return Report(
        status=_meant(codes, said.lower()) if status == 200 else status,
        message=printable(" ".join(storable(said).split())),
        codes=codes,
        fields=fields,
        text=said[:_MAX_REASON],
        headers=headers,
    )


def report_in(body: str, headers: Mapping[str, str]) -> Report | None:
    """The fault that an answer of status 200 reports; None where it is an answer."""
    read = _json(body)
    if not isinstance(read, dict) or not read.get("error") or read.get("choices"):
        return None
    return read_report(200, body, headers)


def _labels(value: Any, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str | int]]:
    """(path, value) of each text and number in a JSON value of few levels."""
    if isinstance(value, dict | list) and len(name) < 8:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _labels(item, (*name, str(key)))
    elif isinstance(value, str | int):
        yield name, value


def _meant(codes: frozenset[str], message: str) -> int:
    """The status that a fault sent with status 200 should have had."""
    numbers = [int(code) for code in codes if code.isdecimal() and 400 <= int(code[:9]) < 600]
    if numbers:
        return numbers[0]
    said = " ".join([*codes, message])
    if any(word in said for word in _BUSY):
        return 429
    return 500 if any(word in said for word in _BROKEN) else 400
