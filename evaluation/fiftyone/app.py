"""The FiftyOne App: starts its server as a separate process, waits for it, and stops it.

The database must run as long as it does. The server alone is started, not FiftyOne's session, which brings a second
import of everything and gives up after 60 s. `python -m evaluation.fiftyone.app --address A --port P --dataset D
--media M` is that process; it ends when its standard input does, so that it never outlives the process that started it,
even if that is killed.

FiftyOne's server gives every file that its user can read to any client. So it runs behind the guard, and gives only the
files of one folder.
"""

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from decoupage.faults import BadSetup
from decoupage.guard import Guard, names_of
from evaluation.fiftyone.library import SETTINGS

_START_S = 180.0
"""Time limit for the server to start: it takes ten seconds on an idle machine, minutes on a busy one."""


def app_url(address: str, port: int, name: str) -> str:
    """Address of the App that shows a dataset."""
    return f"http://{address}:{port}/datasets/{name}"


@dataclass
class App:
    """The App's server, started; it may not answer yet."""

    address: str
    port: int
    process: "subprocess.Popen[bytes]"

    def await_answer(self) -> None:
        """Wait until the server answers. Raises BadSetup: it ended, or takes too long."""
        until_s = time.monotonic() + _START_S
        while not _answers(self.address, self.port):
            if self.process.poll() is not None:
                raise BadSetup(f"the App's server ended with status {self.process.returncode}; see its output above")
            if time.monotonic() > until_s:
                raise BadSetup(f"the App does not answer on {self.address}:{self.port} after {_START_S:.0f} s")
            time.sleep(0.1)

    def await_end(self) -> None:
        """Wait until this process gets a request to end (Ctrl-C, SIGTERM), or the server ends by itself."""
        asked = threading.Event()
        both = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda *_: asked.set()) for number in both}
        try:
            while not asked.wait(0.5) and self.process.poll() is None:
                pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def serving(address: str, port: int, name: str, media: Path) -> Iterator[App]:
    """Context with the App's server on the running database; it is stopped at the end.

    Args:
        address: address to listen on; loopback keeps others out.
        port: port to listen on.
        name: name of the dataset that is shown first.
        media: folder of the pictures that it may give.

    Raises:
        BadSetup: the port is taken, or the address is not this machine's.
    """
    try:
        socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET).close()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise BadSetup(f"cannot listen on port {port} of {address} ({why}); choose another with --port") from error
    command = [sys.executable, "-m", "evaluation.fiftyone.app", "--address", address, "--port", str(port)]
    command += ["--dataset", name, "--media", str(media)]
    # In its own session: Ctrl-C reaches only this process, which then stops the server.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=SETTINGS | os.environ, start_new_session=True
    )
    try:
        yield App(address, port, process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: str, port: int) -> bool:
    # Without any proxy: this is our own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}:{port}/", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


# --- the process --------------------------------------------------------------------------------------------------


def main() -> None:
    """Serve until standard input ends; the first page leads to the dataset that is named."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--media", required=True, type=Path)
    options = parser.parse_args()
    from fiftyone.server.events import set_port
    from fiftyone.server.main import Config, serve  # Those of Hypercorn.

    config = Config()
    config.bind = [f"{options.address}:{options.port}"]
    set_port(options.port)
    asyncio.run(serve(guarded_app(options.address, options.dataset, options.media), config))


def guarded_app(address: str, name: str, media: Path) -> Guard:
    """FiftyOne's web application behind the guard, its first page leading to a dataset. See `serving`."""
    from fiftyone.server.main import app
    from starlette.responses import RedirectResponse
    from starlette.routing import Route

    app.debug = False  # Otherwise a fault shows its code to the client that caused it.
    # FiftyOne's own first page shows no dataset, and requires that code chooses one.
    app.router.routes.insert(0, Route("/", lambda request: RedirectResponse(f"/datasets/{name}")))
    return Guard(app, names_of(address), ("/graphql",), lambda path, query: is_open(path, query, media))


def is_open(path: str, query: bytes, media: Path) -> bool:
    """Whether a request may be answered: no if it names a file outside the media folder, after following links."""
    from starlette.datastructures import QueryParams

    if path.rstrip("/") != "/media":
        return True
    inside = media.resolve()
    try:
        return all(Path(file).resolve().is_relative_to(inside) for file in QueryParams(query).getlist("filepath"))
    except (OSError, ValueError, RuntimeError):  # ValueError: a NUL in the path; RuntimeError: links in a circle.
        return False


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
