"""The connection to the model's server: key, address, one question and its answer. The key goes nowhere else."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from decoupage.faults import BadSetup
from pipelines.config import PromptsConfig
from pipelines.foregrounds.prompts.answers import Answer, read_answer
from pipelines.foregrounds.prompts.asking import Ask, PromptList, messages, options
from pipelines.foregrounds.prompts.patience import Patience

if TYPE_CHECKING:
    from openai import OpenAI

KEY = "OPENAI_API_KEY"
OPENAI = "https://api.openai.com/v1"
CONNECT_S = 5.0
NO_KEY = "none"
"""Sent where there is no key: the client wants some text, and servers without keys do not read it."""

MIN_SECRET = 8
"""Letters of a key from which it is hidden: a shorter one (`none`, `x`, for servers of one's own) is no secret, and
taking it out of every text would spoil them."""


def server(config: PromptsConfig) -> str:
    """Address of the server that the profile names."""
    return config.base_url or OPENAI


def sends_key(config: PromptsConfig) -> bool:
    """True unless the key would cross a network unencrypted."""
    parts = urlsplit(server(config))
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")


def key_of(config: PromptsConfig) -> str:
    """The key to send; `NO_KEY` for a server of one's own when none is set, or none may be sent.

    Raises:
        BadSetup: OpenAI's own server is asked, and no key is set.
    """
    key = os.environ.get(KEY, "").strip()
    if not key and not config.base_url:
        raise BadSetup(f"{KEY} is not set: export it, or name a server that needs none in prompts.base_url")
    return key if key and sends_key(config) else NO_KEY


@dataclass(frozen=True)
class Client:
    """Asks one server, with patience.

    Attributes:
        config: which server and model.
        patience: how often to try; None = as the profile says.
    """

    config: PromptsConfig
    given: Patience | None = None

    @cached_property
    def api(self) -> "OpenAI":
        """The library's client, without retries of its own. Raises BadSetup where a key is missing."""
        from httpx2 import Timeout
        from openai import OpenAI

        timeout = Timeout(self.config.timeout_s, connect=min(CONNECT_S, self.config.timeout_s))
        return OpenAI(api_key=key_of(self.config), base_url=server(self.config), max_retries=0, timeout=timeout)

    @cached_property
    def patience(self) -> Patience:
        """Tries again; its messages show no key."""
        return replace(self.given or Patience(self.config.max_wait_s), hide=self.hide)

    def hide(self, text: str) -> str:
        """The text without the key: a server may echo what it was sent."""
        key = os.environ.get(KEY, "").strip()
        return text.replace(key, "***") if len(key) >= MIN_SECRET else text

    def ask(self, ask: Ask, known: list[str]) -> Answer:
        """One question and its answer; a useless answer is returned, not raised, for it was paid for.

        Raises:
            BadSetup: see `Patience.call`.
        """
        words: Any = messages(ask, known)
        chat = self.api.chat.completions.with_raw_response
        chosen = options(self.config, ask)
        # The raw answer is read by our own reader: it tells tokens also of what is truncated or of another shape.
        raw = self.patience.call(lambda: chat.parse(messages=words, response_format=PromptList, **chosen))
        return read_answer(self.hide(raw.text))
