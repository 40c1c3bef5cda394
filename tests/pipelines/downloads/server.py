"""A file server on 127.0.0.1 that can be told to misbehave: what a bucket does on a bad day."""

import hashlib
import socket
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Files:
    """What is served, and how.

    Attributes:
        content: path -> bytes.
        faults: path -> what the next answers do instead, in order; `*` = every answer. An int is a status, with its
            `Retry-After`; `("cut", n)` closes after n bytes, `("redirect", url)`, `("slow", s)`, `("body", bytes)`.
        etags: whether entity tags are sent; ranges: whether they are obeyed.
        asked: the requests, as (path, value of the Range header).
    """

    content: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    etags: bool = True
    ranges: bool = True
    lengths: bool = True
    retry_after: str | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def next_fault(self, path: str) -> Any:
        if self.faults["*"]:
            return self.faults["*"][0]
        return self.faults[path].popleft() if self.faults[path] else None

    @property
    def num_asked(self) -> Counter[str]:
        return Counter(path for path, _ in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def files(self) -> Files:
        return self.server.files

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.split("?")[0].lstrip("/")
        self.files.asked.append((path, self.headers.get("Range", "")))
        fault = self.files.next_fault(path)
        kind, value = fault if isinstance(fault, tuple) else ("", None)
        if kind == "slow":
            time.sleep(value)
        if isinstance(fault, int):
            self.status(fault)
        elif kind == "redirect":
            self.status(302, Location=value)
        elif path not in self.files.content:
            self.status(404)
        else:
            self.body(value if kind == "body" else self.files.content[path], value if kind == "cut" else None)

    def status(self, status: int, **headers: str) -> None:
        self.send_response(status)
        if self.files.retry_after is not None:
            self.send_header("Retry-After", self.files.retry_after)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self, data: bytes, cut: int | None) -> None:
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        start = self.start() if self.headers.get("If-Range") == tag and self.files.ranges else 0
        if start and start >= len(data):
            self.status(416)
            return
        self.send_response(206 if start else 200)
        for name, value, told in (
            ("ETag", tag, self.files.etags),
            ("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}", start),
            ("Content-Length", str(len(data) - start), self.files.lengths),
            ("Connection", "close", not self.files.lengths),
        ):
            if told:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[start:] if cut is None else data[start:][:cut])
        self.wfile.flush()
        self.close_connection |= cut is not None

    def start(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))


@contextmanager
def serving(content: dict[str, bytes] | None = None) -> Iterator[Files]:
    files = Files(content or {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.files = files
    server.daemon_threads = True
    files.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server on 127.0.0.1 that lets a function write what it likes to each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def handle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            answer(connection)

    def serve() -> None:
        while not over.is_set():
            with suppress(OSError):
                threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def trickle(connection: socket.socket, data: Iterable[bytes], pause_s: float = 0.02) -> None:
    """Send piece by piece, each well within the time-out of a read."""
    for piece in data:
        connection.sendall(piece)
        time.sleep(pause_s)
