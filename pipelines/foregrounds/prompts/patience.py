"""Tries a request again while that may help: how long to wait, and when to give up. What is asked is not known here.

The client's own retries are off: they give up on a Retry-After above two minutes and leave no trace of the others.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from decoupage.faults import BadSetup
from decoupage.randomness import hash64
from pipelines.retry_after import retry_after_s

T = TypeVar("T")
log = logging.getLogger(__name__)

TRANSIENT = (408, 409, 429)
SPENT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
"""Codes of a 429 that no waiting mends."""


class Unfinished(BadSetup):
    """The list is not whole yet: what was written is kept, and the message says how to go on."""


@dataclass(frozen=True)
class Patience:
    """Retries on no connection, time-outs, 408, 409, 429 and 5xx.

    Attributes:
        max_wait_s: that one request may be kept waiting in all.
        attempts: of one request, the first included.
        base_s: wait after the first failure where the server names none; doubled with each further one.
        cap_s: the longest of these waits.
        hide: takes secrets out of a message.
    """

    max_wait_s: float
    attempts: int = 7
    base_s: float = 1.0
    cap_s: float = 60.0
    hide: Callable[[str], str] = str

    def call(self, request: Callable[[], T]) -> T:
        """What the request returns.

        Waits can be interrupted; nothing is lost by it.

        Raises:
            BadSetup: the server refuses the request as it is (key, model, address, quota).
            Unfinished: it went on failing, or the server asks for a longer wait than allowed.
        """
        from openai import APIConnectionError, APIStatusError

        waited_s = 0.0
        for attempt in range(1, self.attempts + 1):
            try:
                return request()
            except APIStatusError as error:
                said = f"HTTP {error.status_code}: {self._short(error.message)}"
                if not _may_help(error.status_code, error.response.headers, error.code):
                    raise _refused(error.status_code, said) from None
                asked_s = retry_after_s(error.response.headers)
            except APIConnectionError as error:
                said, asked_s = self._short(f"{error.message} ({error.__cause__!r})"), None
            if attempt < self.attempts:
                delay_s = self._delay_s(attempt, asked_s)
                if waited_s + delay_s > self.max_wait_s:
                    raise Unfinished(
                        f"the server asks to wait {delay_s:.0f} s after {waited_s:.0f} s of waiting ({said}); "
                        f"prompts.max_wait_s allows {self.max_wait_s:.0f} s"
                    )
                log.info("prompts: %s; going on in %.0f s (attempt %d)", said, delay_s, attempt + 1)
                time.sleep(delay_s)
                waited_s += delay_s
        raise Unfinished(f"the server failed {self.attempts} times in a row, last with {said}")

    def _delay_s(self, attempt: int, asked_s: float | None) -> float:
        # Jitter keeps several clients from coming back at once; it decides no prompt.
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


def _refused(status: int, said: str) -> BadSetup:
    remedy = {
        401: "the server refuses the key: set OPENAI_API_KEY to a valid one",
        403: "the server forbids this: see what the key's project may use",
        404: "the server does not know this: mend prompts.model or prompts.base_url",
        429: "the account has no quota left: see its billing page",
    }.get(status, "the server refuses the request as it is: mend [prompts] in the profile")
    return BadSetup(f"{remedy} ({said})")
