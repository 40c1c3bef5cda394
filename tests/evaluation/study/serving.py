"""A study's server in a thread, on a free port of loopback."""

import socket
import threading
from contextlib import contextmanager

import uvicorn

from decoupage.serve.connections import SETTINGS
from evaluation.study.server import study_app
from tests.browser import wait


@contextmanager
def serving(study):
    """Gives the server's address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(study_app(study), log_level="error", **SETTINGS))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        wait(lambda: server.started, "the server to start")
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
