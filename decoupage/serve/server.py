"""Listens: on loopback, or with a token elsewhere; ends in order, and leaves no job and no file behind."""

import socket
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import uvicorn

from decoupage.faults import BadSetup
from decoupage.serve.api import serve_app
from decoupage.serve.asked import Served
from decoupage.serve.connections import RECEIVE_S, SETTINGS, LimitedConnection, is_loopback
from decoupage.serve.jobs import Jobs, Limits

MIN_TOKEN_CHARACTERS = 16
_RECEIVE_S, _SEND_S, _END_S = 3 * RECEIVE_S, 120.0, 30.0
"""How long a request with its picture may take to come, an answer to be read, and a step to end at the end."""


def check_token(host: str, token: str | None, variable: str) -> None:
    """Raise BadSetup where others could reach the server without a token, or one that can be guessed."""
    if token is None and not is_loopback(host):
        raise BadSetup(
            f"--host {host} can be reached from other machines, so the server needs a token: set {variable} to one of "
            f"at least {MIN_TOKEN_CHARACTERS} characters, such as the output of `openssl rand -hex 16`"
        )
    if token is not None and (len(token) < MIN_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable()):
        raise BadSetup(f"the token in {variable} must have at least {MIN_TOKEN_CHARACTERS} printable ASCII characters")


def serve_model(
    served: Served,
    listening: socket.socket,
    hosts: Collection[str],
    token: str | None,
    limits: Limits,
) -> None:
    """Serve until interrupted.

    Args:
        served: the model, loaded.
        listening: of `listen`.
        hosts: names that the server may be called by.
        token: of `check_token`.
        limits: of its jobs.
    """
    with tempfile.TemporaryDirectory(prefix="decoupage-serve-", ignore_cleanup_errors=True) as folder:
        jobs = Jobs(served.work, Path(folder), limits)
        try:
            make_server(serve_app(served, jobs, hosts, token), jobs).run(sockets=[listening])
        finally:
            jobs.close(_END_S)


def make_server(app: Any, jobs: Jobs) -> uvicorn.Server:
    """A server with our limits, which ends the jobs before it waits for the answers to them."""
    waits_s = jobs.limits.run_s * (jobs.limits.max_jobs + 1) + _SEND_S

    class Connection(LimitedConnection):
        def limit_s(self, phase: Literal["receive", "send"]) -> float:
            return _RECEIVE_S if phase == "receive" else waits_s

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            jobs.end()
            await super().shutdown(sockets)

    # No log of requests: it would hold the ids of jobs.
    return Server(uvicorn.Config(app, log_level="error", access_log=False, **{**SETTINGS, "http": Connection}))
