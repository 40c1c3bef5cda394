"""The connection to the model's server: API key, address, one request and its answer, and how often it is retried.

The key goes nowhere else. The retries of the `openai` client are off: it gives up on a Retry-After above two minutes
and leaves no trace of the attempts before.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from decoupage.faults import BadSetup
from decoupage.randomness import hash64
from pipelines.config import PromptsConfig
from pipelines.foregrounds.prompts.chat import Answer, Ask, PromptList, messages, options, read_answer
from pipelines.retry_after import retry_after_s

if TYPE_CHECKING:
    from openai import OpenAI

log = logging.getLogger(__name__)

T = TypeVar("T")

KEY = "OPENAI_API_KEY"
OPENAI = "https://api.openai.com/v1"
CONNECT_S = 5.0
NO_KEY = "none"
"""Sent where there is no key: the client requires some text, and servers without keys do not read it."""
MIN_SECRET_LETTERS = 8
"""A key of at least so many letters is hidden in messages. A shorter one (`none`, `x`, for local servers) is no secret,
and removing it from every text would garble them."""
TRANSIENT = (408, 409, 429)
SPENT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
"""Error codes of a 429 that waiting does not cure."""


def server(config: PromptsConfig) -> str:
    """Address of the server that the profile names."""
    return config.base_url or OPENAI


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


class Unfinished(BadSetup):
    """The list is not complete yet: what was written is kept, and the message says how to continue."""


@dataclass(frozen=True)
class RetryPolicy:
    """Retries requests on connection errors, time-outs and the statuses 408, 409, 429 and 5xx, with growing waits.

    Attributes:
        max_wait_s: longest total wait of one request.
        attempts: number of attempts per request, the first included.
        base_s: wait after the first failure where the server names none; doubled with each further one.
        cap_s: upper bound of these waits.
        hide: removes secrets from a message.
    """

    max_wait_s: float
    attempts: int = 7
    base_s: float = 1.0
    cap_s: float = 60.0
    hide: Callable[[str], str] = str

    def call(self, request: Callable[[], T]) -> T:
        """Call `request` until it succeeds, and return its result.

        A wait may be interrupted without losing anything.

        Raises:
            BadSetup: the server refuses the request as it is (key, model, address, quota).
            Unfinished: all attempts failed, or the server asks for a longer wait than allowed.
        """
        from openai import APIConnectionError, APIStatusError

        waited_s = 0.0
        for attempt in range(1, self.attempts + 1):
            try:
                return request()
            except APIStatusError as error:
                message = f"HTTP {error.status_code}: {self._short(error.message)}"
                if not _may_help(error.status_code, error.response.headers, error.code):
                    raise _refused(error.status_code, message) from None
                asked_s = retry_after_s(error.response.headers)
            except APIConnectionError as error:
                message, asked_s = self._short(f"{error.message} ({error.__cause__!r})"), None
            if attempt < self.attempts:
                delay_s = self._delay_s(attempt, asked_s)
                if waited_s + delay_s > self.max_wait_s:
                    raise Unfinished(
                        f"the server asks to wait {delay_s:.0f} s after {waited_s:.0f} s of waiting ({message}); "
                        f"prompts.max_wait_s allows {self.max_wait_s:.0f} s"
                    )
                log.info("prompts: %s; retrying in %.0f s (attempt %d)", message, delay_s, attempt + 1)
                time.sleep(delay_s)
                waited_s += delay_s
        raise Unfinished(f"the server failed {self.attempts} times in a row, last with {message}")

    def _delay_s(self, attempt: int, asked_s: float | None) -> float:
        # Jitter keeps several clients from retrying at the same moment; it has no effect on the prompts.
        jitter = hash64("jitter", os.getpid(), attempt, time.monotonic_ns()) / 2**64
        backoff_s = min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))
        if asked_s is None:
            return backoff_s * (1.0 - jitter / 2)
        return asked_s + jitter * min(1.0, self.base_s)

    def _short(self, message: str) -> str:
        return self.hide(" ".join(message.split()))[:300]


def _may_help(status: int, headers: Mapping[str, str], code: str | None) -> bool:
    if headers.get("x-should-retry") in ("true", "false"):
        return headers["x-should-retry"] == "true"
    return (status in TRANSIENT or status >= 500) and code not in SPENT


def _refused(status: int, message: str) -> BadSetup:
    fix = {
        401: "the server refuses the key: set OPENAI_API_KEY to a valid one",
        403: "the server forbids this: see what the key's project may use",
        404: "the server does not know this: correct prompts.model or prompts.base_url",
        429: "the account has no quota left: see its billing page",
    }.get(status, "the server refuses the request as it is: correct [prompts] in the profile")
    return BadSetup(f"{fix} ({message})")


@dataclass(frozen=True)
class Client:
    """Sends requests to one server, with retries.

    Attributes:
        config: which server and model.
        given: how to retry; None = as the profile says.
    """

    config: PromptsConfig
    given: RetryPolicy | None = None

    @cached_property
    def api(self) -> "OpenAI":
        """The client of the `openai` package, with its own retries off. Raises BadSetup when a key is missing."""
        from httpx2 import Timeout
        from openai import OpenAI

        timeout = Timeout(self.config.timeout_s, connect=min(CONNECT_S, self.config.timeout_s))
        return OpenAI(api_key=key_of(self.config), base_url=server(self.config), max_retries=0, timeout=timeout)

    @cached_property
    def retry(self) -> RetryPolicy:
        """The retry policy; its messages do not show the key."""
        return replace(self.given or RetryPolicy(self.config.max_wait_s), hide=self.hide)

    def hide(self, text: str) -> str:
        """The text with the key replaced by `***`: a server may echo what it was sent."""
        key = os.environ.get(KEY, "").strip()
        return text.replace(key, "***") if len(key) >= MIN_SECRET_LETTERS else text

    def ask(self, ask: Ask, known: list[str]) -> Answer:
        """Send one request; a useless answer is returned, not raised, because it was paid for.

        Raises:
            BadSetup: see `RetryPolicy.call`.
        """
        words: Any = messages(ask, known)
        chat = self.api.chat.completions.with_raw_response
        chosen = options(self.config, ask)
        # The raw body goes to `read_answer`, which reports tokens for truncated and malformed answers too.
        raw = self.retry.call(lambda: chat.parse(messages=words, response_format=PromptList, **chosen))
        return read_answer(self.hide(raw.text))
