"""What keeps foreign web pages away from a server on loopback: an ASGI layer before any application.

A browser lets every page send requests to 127.0.0.1, and a host name that a stranger owns can be made to point there.
So a request must call the server by one of its own names, must not come from another site, and must not change
anything by GET.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Guard:
    """An ASGI application behind the guard.

    Attributes:
        app: the application.
        hosts: names that it may be called by, without port; `("*",)` = any.
        no_get: paths, and all below them, that answer no GET, because the application changes things by it.
        allowed: says of a path and its raw query whether the application may see it; None = all of them.
    """

    app: App
    hosts: Collection[str] = LOOPBACK
    no_get: Collection[str] = ()
    allowed: Callable[[str, bytes], bool] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        reason = self.refusal(scope) if scope["type"] in ("http", "websocket") else None
        if reason is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": f"refused: {reason}\n".encode()})

    def refusal(self, scope: Scope) -> str | None:
        """Why a request is refused; None = it may pass."""
        headers = scope["headers"]
        values = {name: [value.decode("latin-1") for key, value in headers if key == name] for name, _ in headers}
        hosts = values.get(b"host", [])
        if len(hosts) != 1 or not ("*" in self.hosts or _name(hosts[0]) in self.hosts):
            return "the server is not called by this name"
        origins = values.get(b"origin", [])
        if any(origin.partition("://")[2] != hosts[0] for origin in origins):
            return "the request comes from another site"
        site, mode = ((values.get(name) or [""])[0] for name in (b"sec-fetch-site", b"sec-fetch-mode"))
        method = scope.get("method", "GET")
        follows_a_link = method == "GET" and mode == "navigate"
        if site in ("cross-site", "same-site") and not follows_a_link:
            return "the request comes from another site"
        path = scope["path"]
        if method in _SAFE and scope["type"] == "http" and any(_is_below(path, closed) for closed in self.no_get):
            return "this path answers no GET"
        if self.allowed is not None and not self.allowed(path, scope.get("query_string", b"")):
            return "this path is not open"
        return None


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _is_below(path: str, closed: str) -> bool:
    return path == closed or path.startswith(closed.rstrip("/") + "/")
