"""What every answer of the server has: its headers, who may ask, how long a body may be, and how faults are said."""

import hmac
import logging
from collections.abc import Collection, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from decoupage.guard import App, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
_HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_RETRY_S = 5


class Refused(Exception):
    """A request that is refused, with its HTTP status."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.headers = status, headers or {}


def retry(status: int) -> dict[str, str]:
    """Header that says when to try again, of the statuses after which that helps."""
    return {"Retry-After": str(_RETRY_S)} if status in (429, 503) else {}


def bounded(request: Request, max_bytes: int) -> Receive:
    """`receive` that refuses a body which turns out longer than it may be."""
    num_bytes = 0

    async def receive() -> Message:
        nonlocal num_bytes
        message = await request.receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > max_bytes:
            raise too_long(max_bytes)
        return message

    return receive


def too_long(max_bytes: int) -> Refused:
    """The refusal of a body that is too long."""
    # What is left of a body that is too long is not waited for.
    return Refused(413, f"a request has at most {max_bytes} bytes", {"Connection": "close"})


class Headers:
    """An ASGI layer: headers that every answer has."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *ours]}
            await send(message)

        await self.app(scope, receive, with_headers)


class Token:
    """An ASGI layer: only what brings the token may pass, but for paths that are open."""

    def __init__(self, app: App, token: str, is_open: Collection[str]) -> None:
        self.app, self.is_open, self._wanted = app, is_open, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401 before its body is read."""
        given = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        is_known = len(given) == 1 and hmac.compare_digest(given[0], self._wanted)
        if scope["type"] == "http" and scope["path"] not in self.is_open and not is_known:
            headers = {"WWW-Authenticate": "Bearer", "Connection": "close"}
            refused = JSONResponse({"error": "this server wants its token"}, status_code=401, headers=headers)
            await refused(scope, receive, send)
            return
        await self.app(scope, receive, send)


async def _refusal(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, Refused)
    return JSONResponse({"error": str(fault)}, status_code=fault.status, headers=fault.headers)


async def _no_such_thing(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    return JSONResponse({"error": str(fault.detail)}, status_code=fault.status_code, headers=fault.headers)


async def _gone(request: Request, fault: Exception) -> Response:
    """The client has left; this is never read."""
    return Response(status_code=400)


async def _unexpected(request: Request, fault: Exception) -> Response:
    log.error("%s %s: %s: %s", request.method, request.url.path, type(fault).__name__, fault)
    return JSONResponse({"error": "the server failed; its log says why"}, status_code=500)


HANDLERS: Mapping[Any, Any] = {
    Refused: _refusal,
    HTTPException: _no_such_thing,
    ClientDisconnect: _gone,
    Exception: _unexpected,
}
"""Exception -> what answers it, for Starlette."""
