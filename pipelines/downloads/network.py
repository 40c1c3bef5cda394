"""Which addresses a download may connect to, and until when: below HTTP, so that it holds at every redirect.

Lists of strangers and redirects may name any host. Only public addresses are connected to, or a host and port that the
profile itself names. Names are resolved here, and the connection goes to the very address that was judged, so that a
second answer of a name server changes nothing. Through a proxy, which resolves names itself, hosts are judged by their
spelling. Imports the HTTP client, which others import only when they fetch something.
"""

import ipaddress
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2

from decoupage.faults import BadItem
from decoupage.text_files import printable

Origin = tuple[str, int]
"""Host in lower case, and port."""
_PORTS = {"http": 80, "https": 443}
_LOCAL_NAMES = re.compile(r"(?:.*\.)?(?:localhost|local|localdomain|internal|intranet|lan|home\.arpa)|[^.]+")
"""Names that no public server has."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def origins(addresses: Iterable[str]) -> frozenset[Origin]:
    """Host and port of each http(s) address; other texts, such as paths of files, name none."""
    parts = [urlsplit(address) for address in addresses if address.startswith(("http://", "https://"))]
    return frozenset((_plain(part.hostname or ""), part.port or _PORTS[part.scheme]) for part in parts)


def is_public(address: str) -> bool:
    """True for an IP address that anybody could reach; for one of IPv6 that stands for one of IPv4, that one counts."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def is_public_spelling(host: str) -> bool:
    """False for a host whose name alone says that it is not public: `localhost.`, `127.1`, `0x7f000001`, `printer`."""
    plain = _plain(host)
    try:
        return is_public(plain.strip("[]"))
    except ValueError:
        pass
    try:
        return is_public(socket.inet_ntoa(socket.inet_aton(plain)))  # All spellings that resolvers take for IPv4.
    except (OSError, UnicodeError):
        return not _LOCAL_NAMES.fullmatch(plain)


class Clock(threading.local):
    """Until when the calling thread's request may read and write, on the monotonic clock."""

    ends_s = float("inf")

    def left_s(self, timeout_s: float | None) -> float:
        """What is left, at most the given time. Raises httpcore2.ReadTimeout when nothing is."""
        left = self.ends_s - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("it took longer than any working server takes")
        return left if timeout_s is None else min(left, timeout_s)


class Network(httpcore2.NetworkBackend):
    """Connects to what may be connected to, and gives up when the thread's time is over.

    Args:
        clock: shared by all threads; each has its own time.
        may_connect: judges (host, port, IP address); None for connections to a proxy.
    """

    def __init__(self, clock: Clock, may_connect: Callable[[Origin, str], bool] | None) -> None:
        self._clock = clock
        self._may_connect = may_connect
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:  # fmt: skip
        """Resolve, judge, and connect to the first address that answers.

        Raises:
            BadItem: `not_public`.
            httpcore2.ConnectError, httpcore2.ConnectTimeout: it cannot be resolved or reached.
        """
        fault: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in self._addresses(host, port):
            try:
                left_s = self._clock.left_s(timeout)
                stream = self._inner.connect_tcp(address, port, left_s, local_address, socket_options)
                return _Stream(stream, self._clock)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                fault = error
        raise fault

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{printable(host)} cannot be resolved: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if self._may_connect is None:
            return addresses
        allowed = [address for address in addresses if self._may_connect((_plain(host), port), address)]
        if not allowed:
            raise BadItem("not_public", f"{printable(host)} is {addresses[0]}, which is not a public address")
        return allowed


class _Stream(httpcore2.NetworkStream):
    """A stream whose every operation ends when the thread's time is over."""

    def __init__(self, inner: httpcore2.NetworkStream, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._clock.left_s(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, self._clock.left_s(timeout)), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Connection:
    """An HTTP client for `workers` threads, which follows at most five redirects, to public addresses and trusted ones.

    Proxies are taken from the environment. Nothing that servers say is kept: no cookies.
    """

    def __init__(self, workers: int, timeout_s: float, trusted: Iterable[str]) -> None:
        # At INFO they log every address with its query, which may hold secrets: a line for each of a million pictures.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.clock = Clock()
        self._trusted = origins(trusted)
        self.client = httpx2.Client(
            headers={"Accept-Encoding": "identity", "User-Agent": "decoupage"},
            timeout=timeout_s,
            follow_redirects=True,
            max_redirects=5,
            limits=httpx2.Limits(max_connections=workers, max_keepalive_connections=workers),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            event_hooks={"request": [self._judge]},
        )
        # httpx2 has no argument for it, and takes no proxies from the environment with a transport of ours.
        self._guard(self.client._transport, self._may_connect)  # noqa: SLF001
        for transport in self.client._mounts.values():  # noqa: SLF001
            if transport is not None:
                self._guard(transport, None)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def _guard(self, transport: Any, may_connect: Callable[[Origin, str], bool] | None) -> None:
        pool = transport._pool  # noqa: SLF001
        known = isinstance(getattr(pool, "_network_backend", None), httpcore2.NetworkBackend)
        assert known, "httpx2 connects in another way than it did"
        pool._network_backend = Network(self.clock, may_connect)  # noqa: SLF001

    def _may_connect(self, origin: Origin, address: str) -> bool:
        return origin in self._trusted or is_public(address)

    def _judge(self, request: httpx2.Request) -> None:
        """Called for every request, redirected ones included. Raises BadItem `not_public`."""
        url = request.url
        if url.scheme not in ("http", "https"):
            return  # The client refuses it.
        if not is_public_spelling(url.host) and not self._trusted & origins([str(url)]):
            raise BadItem("not_public", f"{printable(url.host)} is not a public host")


def _plain(host: str) -> str:
    return host.lower().rstrip(".")
