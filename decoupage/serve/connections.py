"""A web server's sockets: where it listens, what it is called, and connections with limits.

Limits are how many there are, and how long a request may take to arrive and an answer to be sent.
uvicorn limits neither a client that sends one byte per minute nor one that never reads.
"""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from decoupage.faults import BadSetup
from decoupage.guard import LOOPBACK

RECEIVE_S, SEND_S = 20.0, 120.0
"""How long a request may take to come, body included, and its answer to be made and read."""
MAX_CONNECTIONS = 256
"""Beyond it requests are answered with 503; beyond twice as many, connections are closed at once."""
MAX_HEADER_BYTES = 16_384


class LimitedConnection(H11Protocol):
    """An HTTP connection that is closed when its other side takes too long."""

    _phase: Literal["", "receive", "send"] = ""
    _timer: asyncio.TimerHandle | None = None

    def limit_s(self, phase: Literal["receive", "send"]) -> float:
        """How long the other side may take."""
        return RECEIVE_S if phase == "receive" else SEND_S

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
            self._timer = self.loop.call_later(self.limit_s(phase), self.transport.abort)


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


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; port 0 = any free one.

    Raises:
        BadSetup: the address cannot be listened on.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise BadSetup(f"cannot listen on {host}:{port} ({error.strerror or error}); choose another --port") from error


def address_of(listening: socket.socket) -> str:
    """`http://HOST:PORT/` of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def is_loopback(host: str) -> bool:
    """True for addresses that only this machine can reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_names(host: str) -> tuple[str, ...]:
    """Names that a server listening on an address is called by: of an address that is all addresses, this machine's."""
    if is_loopback(host):
        return LOOPBACK
    if host not in ("0.0.0.0", "::", ""):
        return (f"[{host}]" if ":" in host else host.lower(), *LOOPBACK)
    name = socket.gethostname().lower()
    found = [name, f"{name}.local"]
    for family, probe, form in ((socket.AF_INET, "192.0.2.1", "{}"), (socket.AF_INET6, "2001:db8::1", "[{}]")):
        try:
            # Of datagrams this sends nothing; it only chooses the address that others would see.
            with socket.socket(family, socket.SOCK_DGRAM) as chosen:
                chosen.connect((probe, 9))
                found.append(form.format(chosen.getsockname()[0]))
        except OSError:  # No way out by this family.
            continue
    return (*found, *LOOPBACK)
