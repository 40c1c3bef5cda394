"""An ASGI application on a free port of loopback, in a thread; and requests as browsers and attackers send them."""

import socket
import threading
from contextlib import contextmanager

import uvicorn

from tests.browser import wait


@contextmanager
def served(app):
    """Gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        wait(lambda: server.started, "the server to start")
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


def raw(port, text):
    """Status of a request that is sent as it stands."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode("latin-1"))
        answer = b""
        while b"\r\n" not in answer and (part := connection.recv(4096)):
            answer += part
    return int(answer.split()[1])
