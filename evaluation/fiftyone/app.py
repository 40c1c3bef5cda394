"""The App: its server started, waited for, stopped. The database must run as long as it does.

The server alone is started, not FiftyOne's session, which brings a second import of everything and gives up after 60 s.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from decoupage.faults import BadSetup
from evaluation.fiftyone.library import SETTINGS

_START_S = 180.0
"""Ten seconds on an idle machine; a loaded one may take minutes."""


def app_url(address: str, port: int, name: str) -> str:
    """Where a dataset is shown."""
    return f"http://{address}:{port}/datasets/{name}"


@dataclass
class App:
    """A server that has been started; it may not answer yet."""

    address: str
    port: int
    process: "subprocess.Popen[bytes]"

    def await_answer(self) -> None:
        """Wait until it answers. Raises BadSetup: it ended, or takes too long."""
        until_s = time.monotonic() + _START_S
        while not _answers(self.address, self.port):
            if self.process.poll() is not None:
                raise BadSetup(f"the App's server ended with status {self.process.returncode}; see what it says above")
            if time.monotonic() > until_s:
                raise BadSetup(f"the App does not answer on {self.address}:{self.port} after {_START_S:.0f} s")
            time.sleep(0.1)

    def await_end(self) -> None:
        """Wait until this process is told to end (Ctrl-C, SIGTERM), or the server ends by itself."""
        told = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            told.set()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not told.wait(0.5) and self.process.poll() is None:
                pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def serving(address: str, port: int, name: str) -> Iterator[App]:
    """Start the App's server over the database that runs, and stop it at the end.

    Args:
        address: to listen on; loopback keeps others out.
        name: of the dataset that is shown first.

    Raises:
        BadSetup: the port is taken.
    """
    if _answers(address, port):
        raise BadSetup(f"something answers on {address}:{port} already; choose another port with --port")
    command = [sys.executable, "-m", "evaluation.fiftyone.server", "--address", address, "--port", str(port)]
    command += ["--dataset", name]
    # In a session of its own: Ctrl-C is for this process, which then stops it.
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
    # Past any proxy: this is our own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}:{port}/", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
