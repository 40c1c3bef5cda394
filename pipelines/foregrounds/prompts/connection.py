"""The connection to a model's server: bounded in time and size, and silent about what it carries.

Time-outs of HTTP libraries start again with each byte, and their bodies have no bound. Here a whole request has a
deadline, and an answer is given up when it grows too large. Redirects are not followed: a key would go with them.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pipelines.config import PromptsConfig

if TYPE_CHECKING:
    import httpx2
    from openai import OpenAI

T = TypeVar("T")

CONNECT_S = 5.0
MAX_ANSWER_BYTES = 16 << 20
MAX_FILE_BYTES = 256 << 20
"""Bound of a batch's output: 500 MB of prompts would be a million."""
_LOGGERS = ("openai", "httpx2", "httpcore2")
"""At their levels DEBUG and INFO they write headers and bodies, in which a server may repeat the key."""


class Late(Exception):
    """A request was not answered in whole in the time it has."""


class TooLarge(Exception):
    """An answer is larger than is read."""


@dataclass
class Connection:
    """The client of the `openai` package for one server, with its own retries off.

    Attributes:
        config: which server.
        key: what to send as API key.
        base_url, api_version: the server's address; the version in its query, as Azure wants it, or empty.
    """

    config: PromptsConfig
    key: str
    base_url: str
    api_version: str
    _open: "OpenAI | None" = field(default=None, init=False)

    def run(self, request: Callable[["OpenAI"], T], limit_s: float) -> T:
        """The result of a request, which is sent in a thread: this one goes on when the time is over.

        Raises:
            Late: it took longer than `limit_s`.
            TooLarge: the answer is too large.
            Exception: what else the request raises.
        """
        results: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()
        api = self._open = self._open or self._client()

        def send() -> None:
            try:
                results.put((request(api), None))
            except BaseException as error:  # noqa: BLE001 - raised again below.
                results.put((None, error))

        threading.Thread(target=send, daemon=True, name="prompts").start()
        try:
            result, error = results.get(timeout=limit_s)
        except queue.Empty:
            self.close()
            raise Late(f"no complete answer within {limit_s:g} s") from None
        except BaseException:  # Ctrl-C.
            self.close()
            raise
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def close(self) -> None:
        """End it, whatever is on its way; the next request opens another."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def _client(self) -> "OpenAI":
        import httpx2
        from openai import OpenAI

        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.WARNING))

        def as_azure(sent: httpx2.Request) -> None:
            del sent.headers["Authorization"]
            sent.headers["api-key"] = self.key

        timeout = httpx2.Timeout(self.config.timeout_s, connect=min(CONNECT_S, self.config.timeout_s))
        return OpenAI(
            api_key=self.key,
            base_url=self.base_url,
            default_query={"api-version": self.api_version} if self.api_version else None,
            max_retries=0,
            timeout=timeout,
            http_client=httpx2.Client(
                timeout=timeout,
                follow_redirects=False,
                # A few compressed kilobytes can be gigabytes.
                headers={"Accept-Encoding": "identity"},
                event_hooks={"request": [as_azure] if self.api_version else [], "response": [_bound]},
            ),
        )


def _bound(response: "httpx2.Response") -> None:
    """Bound what is read of a response's body."""
    import httpx2

    limit = MAX_FILE_BYTES if response.request.url.path.endswith("/content") else MAX_ANSWER_BYTES
    if response.headers.get("content-encoding", "identity") != "identity":
        raise TooLarge("the server sends a compressed answer, which was not asked for")

    class Bounded(httpx2.SyncByteStream):
        def __init__(self, stream: httpx2.SyncByteStream) -> None:
            self.stream = stream

        def __iter__(self) -> Iterator[bytes]:
            room = limit
            for chunk in self.stream:
                room -= len(chunk)
                if room < 0:
                    raise TooLarge(f"the server's answer does not end within {limit >> 20} MiB")
                yield chunk

        def close(self) -> None:
            self.stream.close()

    assert isinstance(response.stream, httpx2.SyncByteStream), "the client is synchronous"
    response.stream = Bounded(response.stream)
