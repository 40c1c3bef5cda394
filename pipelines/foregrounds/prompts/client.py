"""Asks the model's server: API key, address, which fields of a request the server takes, one request and its answer.

The key goes nowhere else. The retries of the `openai` client are off: it gives up on a Retry-After above two minutes
and leaves no trace of the attempts before.
"""

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from decoupage.faults import BadSetup
from pipelines.config import PromptsConfig
from pipelines.foregrounds.prompts.answers import Answer, Report, read_answer, report_in
from pipelines.foregrounds.prompts.chat import Ask, messages, options
from pipelines.foregrounds.prompts.connection import Connection
from pipelines.foregrounds.prompts.retry import Refused, Reported, RetryPolicy, Unfinished

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["Client", "RetryPolicy", "Unfinished", "key_of", "sends_key", "server"]

log = logging.getLogger(__name__)

T = TypeVar("T")

KEY = "OPENAI_API_KEY"
OPENAI = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent where there is no key: the client requires some text, and servers without keys do not read it."""
MIN_SECRET_LETTERS = 8
"""A key of at least so many letters is hidden in messages. A shorter one (`none`, `x`, for local servers) is not a
secret, and removing it from every text would garble them."""
_OTHER_NAME = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens"}
_SPELLINGS = {"response_format": "response_format|json_schema|structured.outputs?"}
_SPELLINGS |= dict.fromkeys(_OTHER_NAME, "|".join(_OTHER_NAME))


def server(config: PromptsConfig) -> str:
    """Address of the server that the profile names, without a query."""
    return config.base_url.partition("?")[0].rstrip("/") or OPENAI


def sends_key(config: PromptsConfig) -> bool:
    """True unless the key would cross a network unencrypted."""
    parts = urlsplit(server(config))
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")


def key_of(config: PromptsConfig) -> str:
    """The API key to send; `NO_KEY` for another server than OpenAI's when no key is set, or none may be sent.

    Raises:
        BadSetup: the server is OpenAI's own, and no key is set.
    """
    key = os.environ.get(KEY, "").strip()
    if not key and not config.base_url:
        raise BadSetup(f"{KEY} is not set: export it, or name a server that needs none in prompts.base_url")
    return key if key and sends_key(config) else NO_KEY


@dataclass(frozen=True)
class Client:
    """Sends requests to one server, with retries.

    Attributes:
        config: which server and model.
        given: how to retry; None = as the profile says.
        left_out: field of a request that this server refused -> its reason; not sent any more.
    """

    config: PromptsConfig
    given: RetryPolicy | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def call(self, request: "Callable[[OpenAI], T]", limit_s: float | None = None) -> T:
        """The result of a request, repeated as `RetryPolicy` says.

        Args:
            limit_s: time for one attempt; None = as the profile says.

        Raises:
            BadSetup: see `RetryPolicy.call`; or a key is missing.
        """
        return self._retry.call(lambda: self._connection.run(request, limit_s or self.config.timeout_s))

    def hide(self, text: str) -> str:
        """The text with the key replaced by `***`: a server may echo what it was sent."""
        key = os.environ.get(KEY, "").strip()
        return text.replace(key, "***") if len(key) >= MIN_SECRET_LETTERS else text

    def body(self, ask: Ask, known: list[str]) -> dict[str, Any]:
        """The request's body, of the fields that the server takes."""
        fields = self._fields()
        return options(self.config, ask, fields) | {"messages": messages(ask, known, "response_format" in fields)}

    def ask(self, ask: Ask, known: list[str], keep: Callable[[str], None]) -> Answer:
        """Send one request; a useless answer is returned, not raised, because it was paid for.

        A field that the server refuses (400, 422) is left out from then on. A request that its content filter refuses
        is an answer of the outcome `refused`.

        Args:
            keep: called with the text of the answer before anything else is made of it.

        Raises:
            BadSetup: see `RetryPolicy.call`.
        """

        def send(api: "OpenAI") -> str:
            raw = api.chat.completions.with_raw_response.create(**self.body(ask, known))
            text = self.hide(raw.content.decode("utf-8", "replace"))
            if report := report_in(text, raw.headers):
                raise Reported(report)
            return text

        while True:
            try:
                text = self.call(send)
            except Refused as refused:
                if refused.report.is_filter:
                    return Answer("refused", detail=f"content filter: {refused.report.message}")
                if not self.learn(refused.report):
                    raise
            else:
                keep(text)
                return read_answer(text)

    def learn(self, report: Report) -> bool:
        """Leave out from now on what a refusal names; returns False when it names nothing that was sent."""
        name = self._named(report) if report.status in (400, 422) else None
        if name is None:
            return False
        self.left_out[name] = report.message
        log.warning(
            "prompts: the server refuses %s (HTTP %d: %s); it is left out. prompts.request_fields can say so",
            *(name, report.status, report.message),
        )
        return True

    def _fields(self) -> list[str]:
        """The fields to send: those of the profile, less those that were refused, by their other name if need be."""
        names = [name if name not in self.left_out else _OTHER_NAME.get(name) for name in self.config.request_fields]
        unset = {"temperature"} if self.config.temperature is None else set()
        return [name for name in names if name and name not in self.left_out and name not in unset]

    def _named(self, report: Report) -> str | None:
        """The field that a refusal points at, or that its message names first."""
        found = []
        for name in self._fields():
            spelling = re.compile(rf"(?<!\w)(?:{_SPELLINGS.get(name, name)})(?!\w)", re.IGNORECASE)
            if any(spelling.match(pointed) for pointed in report.fields):
                return name
            if match := spelling.search(report.text):
                found.append((match.start(), name))
        return min(found)[1] if found else None

    @cached_property
    def _retry(self) -> RetryPolicy:
        return replace(self.given or RetryPolicy(self.config.max_wait_s), hide=self.hide)

    @cached_property
    def _connection(self) -> Connection:
        version = parse_qs(urlsplit(self.config.base_url).query).get("api-version", [""])[0]
        return Connection(self.config, key_of(self.config), server(self.config), version)
