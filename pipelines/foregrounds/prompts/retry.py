"""How often a request is repeated, how long it waits, and what a refusal means."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from decoupage.faults import BadSetup
from decoupage.randomness import hash64
from decoupage.text_files import printable
from pipelines.foregrounds.prompts.answers import Report, read_report
from pipelines.foregrounds.prompts.connection import Late, TooLarge
from pipelines.retry_after import retry_after_s

log = logging.getLogger(__name__)

T = TypeVar("T")

TRANSIENT = (408, 409, 429)
SPENT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
"""Error codes of a 429 that waiting does not cure."""


class Unfinished(BadSetup):
    """The list is not complete yet: what was written is kept, and the message says how to continue."""


class Refused(BadSetup):
    """The server refuses a request as it is; `report` says what it says."""

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message, report)
        self.message, self.report = message, report

    def __str__(self) -> str:
        return self.message


class Reported(Exception):
    """An answer of status 200 that reports a fault."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


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
            Refused: the server refuses the request as it is (key, model, address, quota).
            BadSetup: its answer does not end.
            Unfinished: all attempts failed, or the server asks for a longer wait than allowed.
        """
        waited_s = 0.0
        for attempt in range(1, self.attempts + 1):
            done, result, message, asked_s = self._try(request)
            if done:
                return result  # type: ignore[return-value]
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

    def _try(self, request: Callable[[], T]) -> tuple[bool, T | None, str, float | None]:
        """(done, its result, else what went wrong, and the wait that the server asks for)."""
        from openai import APIConnectionError, APIStatusError

        try:
            return True, request(), "", None
        except APIStatusError as error:
            text = self.hide(error.response.content.decode("utf-8", "replace"))
            report, of = read_report(error.status_code, text, error.response.headers), f"HTTP {error.status_code}"
        except Reported as error:
            report, of = error.report, f"HTTP 200 with an error that means {error.report.status}"
        except TooLarge as error:
            raise BadSetup(f"{error}; is prompts.base_url the address of chat completions?") from None
        except (APIConnectionError, Late) as error:
            cause = f" ({error.__cause__!r})" if error.__cause__ else ""
            return False, None, printable(self.hide(f"{error}{cause}")), None
        message = f"{of}: {report.message or 'it gives no reason'}"
        if not _may_help(report):
            raise _refused(report, message, self.hide)
        return False, None, message, retry_after_s(report.headers)

    def _delay_s(self, attempt: int, asked_s: float | None) -> float:
        # Jitter keeps several clients from retrying at the same moment; it has no effect on the prompts.
        jitter = hash64("jitter", os.getpid(), attempt, time.monotonic_ns()) / 2**64
        backoff_s = min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))
        if asked_s is None:
            return backoff_s * (1.0 - jitter / 2)
        return asked_s + jitter * min(1.0, self.base_s)


def _may_help(report: Report) -> bool:
    headers: Mapping[str, str] = report.headers
    if headers.get("x-should-retry") in ("true", "false"):
        return headers["x-should-retry"] == "true"
    return (report.status in TRANSIENT or report.status >= 500) and not report.codes.intersection(SPENT)


def _refused(report: Report, message: str, hide: Callable[[str], str]) -> Refused:
    fix = {
        401: "the server refuses the key: set OPENAI_API_KEY to a valid one",
        403: "the server forbids this: see what the key's project may use",
        404: "the server does not know this: correct prompts.model or prompts.base_url",
        429: "the account has no quota left: see its billing page",
    }.get(report.status, "the server refuses the request as it is: correct [prompts] in the profile")
    if 300 <= report.status < 400:
        place = printable(hide(report.headers.get("location", "another address")))
        fix = f"the server redirects to {place}, which is not followed: correct prompts.base_url"
    return Refused(f"{fix} ({message})", report)
