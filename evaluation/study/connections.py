"""A web server's connections with limits: how many, how long a request may take to arrive and an answer to be sent.

uvicorn limits neither a client that sends one byte per minute nor one that never reads.
"""

import asyncio
from typing import Any, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

RECEIVE_S, SEND_S = 20.0, 120.0
"""How long a request may take to come, body included, and its answer to be made and read."""
MAX_CONNECTIONS = 256
"""Beyond it requests are answered with 503; beyond twice as many, connections are closed at once."""
MAX_HEADER_BYTES = 16_384


class LimitedConnection(H11Protocol):
    """An HTTP connection that is closed when its other side takes too long."""

    _phase: Literal["", "receive", "send"] = ""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if len(self.connections) > 2 * MAX_CONNECTIONS:
            transport.abort()
        else:
            self._enter("receive")

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self._enter(self._waits_for())

    def on_response_complete(self) -> None:
        """An answer was sent; the connection is then idle, which uvicorn limits, or gets the next request."""
        super().on_response_complete()
        self._enter("" if self.conn.their_state is h11.IDLE else self._waits_for())

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._enter("")
        super().connection_lost(exc)

    def _waits_for(self) -> Literal["receive", "send"]:
        return "receive" if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) else "send"

    def _enter(self, phase: Literal["", "receive", "send"]) -> None:
        if phase == self._phase:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._phase = phase
        if phase:
            self._timer = self.loop.call_later(RECEIVE_S if phase == "receive" else SEND_S, self.transport.abort)


SETTINGS: dict[str, Any] = {
    "http": LimitedConnection,
    "ws": "none",
    "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
    "limit_concurrency": MAX_CONNECTIONS,
    "timeout_keep_alive": 5,
    "timeout_graceful_shutdown": 5,
    "server_header": False,
    "lifespan": "off",
}
"""Of `uvicorn.Config`."""
