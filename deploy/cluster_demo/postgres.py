"""A PostgreSQL server on loopback, with a database of its own and a password of its own."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT
from typing import Any

from decoupage.faults import BadSetup
from deploy.cluster_demo.processes import Programs, free_port

USER = "dagster"
_ACCOUNTS = ("postgres", "nobody")
"""Accounts that the server runs under where this process is root, which it refuses; the first one that exists."""
_START_S = 60.0
_INSTALL = "install it, for example with: apt-get install postgresql"


@contextmanager
def postgres(programs: Programs, port: int | None = None) -> Iterator[dict[str, str]]:
    """Context with a running server and an empty database; gives the variables of `dagster.postgres.yaml`.

    The files of the database are removed at its end.

    Args:
        port: None = a free one.

    Raises:
        BadSetup: no server is installed, or it does not start.
    """
    # Not below the checkout, whose folders another account may not be able to enter.
    with tempfile.TemporaryDirectory(prefix="decoupage-postgres-") as name:
        folder = Path(name)
        port, password = port or free_port(), secrets.token_urlsafe(24)
        _make(folder, password)
        with running(programs, folder, port):
            variables = {"HOST": "127.0.0.1", "PORT": str(port), "DB": "postgres", "USER": USER, "PASSWORD": password}
            yield {f"DAGSTER_POSTGRES_{key}": value for key, value in variables.items()}


@contextmanager
def running(programs: Programs, folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Context with a server over a folder that was made before. Raises BadSetup: it does not start."""
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 100}
    line = [*_as_account(), str(_program("postgres")), "-D", str(folder / "data")]
    for key, value in settings.items():
        line += ["-c", f"{key}={value}"]
    ready = [str(_program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(port)]
    # SIGINT is its fast shutdown; at SIGTERM it waits until every client has left.
    with programs.running("postgres", line, _environment(), SIGINT) as process:
        is_ready = lambda: subprocess.run(ready, check=False).returncode == 0  # noqa: E731
        programs.wait("postgres", process, is_ready, _START_S)
        yield process


def _make(folder: Path, password: str) -> None:
    """A new database, whose only user has the password."""
    secret = folder / "password"
    secret.write_text(password)
    account = _account()
    if account:
        for path in (folder, secret):
            shutil.chown(path, account)
    options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C"]
    line = [*_as_account(), str(_program("initdb")), "-D", str(folder / "data"), *options]
    done = subprocess.run(line, env=_environment(), capture_output=True, text=True, check=False)
    secret.unlink()
    if done.returncode:
        raise BadSetup(f"PostgreSQL could not make a database: {done.stderr.strip()}")


def _program(name: str) -> Path:
    """A program of the server: on PATH, or of the newest version where Debian puts it."""
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if not versions:
        raise BadSetup(f"PostgreSQL's {name} was not found; {_INSTALL}")
    return versions[-1]


def _account() -> str:
    """Name of the account that the server runs under; empty = this one."""
    import pwd

    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _ACCOUNTS if name in known)


def _as_account() -> list[str]:
    account = _account()
    if not account:
        return []
    return ["setpriv", f"--reuid={account}", f"--regid={_group(account)}", "--clear-groups"]


def _group(account: str) -> Any:
    import pwd

    return pwd.getpwnam(account).pw_gid


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
