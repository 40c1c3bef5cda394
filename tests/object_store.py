"""An S3 server on loopback for tests, and a proxy before it that makes faults and counts requests."""

import http.client
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

CHECKOUT = Path(__file__).parent.parent
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_SERVER = """
import sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
import logging, os

logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = DomainDispatcherApplication(create_backend_app)
alone = threading.Lock()

def serve(environ, start_response):
    # moto looks whether a key is free and then writes; S3 does both at once.
    if not {"HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"} & set(environ) and environ["REQUEST_METHOD"] != "DELETE":
        return app(environ, start_response)
    with alone:
        return list(app(environ, start_response))

server = make_server("127.0.0.1", 0, serve, threaded=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
"""
"""Ends when its standard input does, so it never outlives the tests."""


@dataclass(frozen=True)
class S3Server:
    """An S3 server. `endpoint` is its address, `http://127.0.0.1:PORT`."""

    endpoint: str

    def bucket(self) -> str:
        """A new bucket; its address, `s3://NAME`."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        answer = self.request("PUT", f"/{name}")
        assert answer == 200, f"the server answered {answer} to a new bucket"
        return f"s3://{name}"

    def request(self, method: str, path: str) -> int:
        """Status of a request without a body."""
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=30)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server in a process of its own; it has no environment of ours, so that it never asks itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port, "the S3 server did not start"
            yield S3Server(f"http://127.0.0.1:{port}")
        finally:
            process.kill()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server, to which the AWS_* variables point for the rest of the session."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    pytest.importorskip("flask")
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in (_VARIABLES | {"AWS_ENDPOINT_URL": server.endpoint}).items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def _faulty(s3: S3Server) -> Iterator["FaultyProxy"]:
    with FaultyProxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def faulty(_faulty: "FaultyProxy", monkeypatch: pytest.MonkeyPatch) -> Iterator["FaultyProxy"]:
    """A proxy before the S3 server, to which AWS_ENDPOINT_URL points during the test."""
    _faulty.clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", _faulty.url)
    yield _faulty
    _faulty.clear()


@dataclass(frozen=True)
class Request:
    """A request as a fault sees it.

    Attributes:
        kind: GET, HEAD, PUT, DELETE; LIST, DELETES (many at once), BUCKETS; of a multipart upload BEGIN, PART,
            COMPLETE, ABORT; UPLOADS = a list of unfinished ones.
        path: `/bucket/key`.
        headers: names in small letters.
    """

    kind: str
    path: str
    headers: dict[str, str]


@dataclass
class Fault:
    """What happens to the next requests of a kind.

    Attributes:
        kind: as in `Request`; "" = any.
        times: number of requests that it happens to.
        status, code: answered instead of the server's answer, e.g. 503 and `SlowDown`; 0 = as the server answers.
        delay_s: waited before anything else.
        short: the body ends in its middle, and with it the connection.
        reset: the connection is reset before the server hears of the request.
        lost: the server does it, and the connection is reset instead of an answer.
        matches: a further condition.
    """

    kind: str = ""
    times: int = 1
    status: int = 0
    code: str = ""
    delay_s: float = 0.0
    short: bool = False
    reset: bool = False
    lost: bool = False
    matches: Callable[[Request], bool] = lambda request: True


@dataclass
class FaultyProxy:
    """A reverse proxy on loopback that makes faults and counts requests; a context manager.

    Attributes:
        upstream: address of the server behind it.
        latency_s: added to every request.
        requests: all requests so far, those with faults included.
    """

    upstream: str
    latency_s: float = 0.0
    requests: list[Request] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "FaultyProxy":
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, *faults: Fault) -> None:
        """Faults for the requests to come; of several that fit a request the first happens."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """No faults to come, and no requests so far."""
        with self._lock:
            self._faults.clear()
            self.requests.clear()
            self.latency_s = 0.0

    @property
    def counts(self) -> Counter[str]:
        """Number of requests so far, by kind."""
        with self._lock:
            return Counter(request.kind for request in self.requests)

    def take(self, request: Request) -> Fault | None:
        """Note a request; the fault that happens to it."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.times > 0 and fault.kind in ("", request.kind) and fault.matches(request):
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    proxy: FaultyProxy

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _do(self) -> None:
        proxy = self.server.proxy
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(kind_of(self.command, self.path), urlsplit(self.path).path, headers)
        fault = proxy.take(request) or Fault()
        time.sleep(proxy.latency_s + fault.delay_s)
        if fault.reset:
            return self._reset()
        if fault.status:
            return self._answer(fault.status, {"Content-Type": "application/xml"}, _error(fault))
        status, answered, data = self._forward(proxy.upstream, body)
        if fault.lost:
            return self._reset()
        if fault.short:
            self._answer(status, answered, data, max(0, len(data) // 2))
            return self._reset()
        return self._answer(status, answered, data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _forward(self, upstream: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        gone = {"transfer-encoding", "connection", "expect", "content-length"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in gone}
        connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)
        try:
            headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in gone}
            if self.command == "HEAD":
                kept["Content-Length"] = answer.getheader("Content-Length", "0")
            return answer.status, kept, data
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], data: bytes, num_sent: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:num_sent])

    def _reset(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        # With this the system sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def kind_of(method: str, target: str) -> str:
    """The kind of a request of S3's protocol; see `Request`."""
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    has_key = "/" in urlsplit(target).path.strip("/")
    if "uploads" in query:
        return "BEGIN" if method == "POST" else "UPLOADS"
    if "uploadId" in query:
        return {"PUT": "PART", "POST": "COMPLETE", "DELETE": "ABORT"}.get(method, method)
    if method == "POST" and "delete" in query:
        return "DELETES"
    if method == "GET" and not has_key:
        return "LIST" if urlsplit(target).path.strip("/") else "BUCKETS"
    return method


def _error(fault: Fault) -> bytes:
    code = fault.code or {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}.get(fault.status, "Fault")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>made by a test</Message>'
        "<RequestId>1</RequestId></Error>"
    ).encode()
