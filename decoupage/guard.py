"""What keeps foreign web pages away from a server on loopback: an ASGI layer before any application.

A browser lets every page send requests to 127.0.0.1, and a host name that a stranger owns can be made to point there.
So a request must call the server by one of its own names, must not come from another site, and must not change
anything by GET. Answers can be neither read nor framed by other sites, whatever the application says.

It guards against pages, not against programs: whatever else runs on the machine can send the same requests as the user.
"""

import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_SAFE = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:/@\[\]\s]+)(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
"""A Host header: a name or an address, IPv6 in brackets, and perhaps a port."""
_ORIGIN = re.compile(r"https?://(.+)", re.ASCII | re.IGNORECASE)
_OWN_HEADERS = (
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def names_of(address: str) -> tuple[str, ...]:
    """Names by which a server that listens on an address may be called; `("*",)` = any, where others can reach it."""
    try:
        here = address == "localhost" or ip_address(address).is_loopback
    except ValueError:
        here = False
    return (*LOOPBACK, f"[{address}]" if ":" in address else address) if here else ("*",)


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
        """Pass a request on, or answer 403; a websocket is then not opened."""
        if scope["type"] not in ("http", "websocket"):  # The server's own start and end.
            await self.app(scope, receive, send)
            return
        reason = self.refusal(scope)
        if reason is None:
            await self.app(scope, receive, _closed_to_others(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *_OWN_HEADERS]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": f"refused: {reason}\n".encode()})

    def refusal(self, scope: Scope) -> str | None:
        """Why a request is refused; None = it may pass."""
        hosts = _values(scope, b"host")
        named = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if named is None or not ("*" in self.hosts or named[1].lower() in self.hosts):
            return "the server is not called by this name"
        if _comes_from_another_site(scope, hosts[0]):
            return "the request comes from another site"
        path: str = scope["path"]
        if not path.startswith("/"):
            return "this is not a path"
        if _is_safe(scope) and any(_is_below(path, closed) for closed in self.no_get):
            return "this path does not answer GET"
        if self.allowed is not None and not self.allowed(path, scope.get("query_string", b"")):
            return "this path is not open"
        return None


def _comes_from_another_site(scope: Scope, host: str) -> bool:
    """True for what a page of another origin sends, unless a person follows a link on it."""
    for origin in _values(scope, b"origin"):
        named = _ORIGIN.fullmatch(origin)
        if named is None or named[1].lower() != host.lower():
            return True
    site, mode, destination = (
        "".join(_values(scope, name)) for name in (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")
    )
    # A link opens a page of its own; in a frame, a person could be led to click where they see something else.
    follows_a_link = _is_safe(scope) and mode == "navigate" and destination == "document"
    return site not in ("", "none", "same-origin") and not follows_a_link


def _closed_to_others(send: Send) -> Send:
    """`send` with headers that keep other sites out, in place of any by which the application lets them in."""
    ours = {name for name, _ in _OWN_HEADERS}

    async def closed(message: Message) -> None:
        if message["type"] == "http.response.start":
            theirs = [pair for pair in message.get("headers", ()) if not (_opens(pair[0]) or pair[0] in ours)]
            message = {**message, "headers": [*theirs, *_OWN_HEADERS]}
        await send(message)

    return closed


def _opens(name: bytes) -> bool:
    return name.startswith((b"access-control-", b"timing-allow-origin"))


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _is_safe(scope: Scope) -> bool:
    """True for a request that must change nothing; a websocket is opened by GET, but carries requests of its own."""
    return scope["type"] == "http" and scope["method"] in _SAFE


def _is_below(path: str, closed: str) -> bool:
    return path == closed or path.startswith(closed.rstrip("/") + "/")
