"""The App over a dataset: started, waited for, stopped. Its database must run as long as it does."""

import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from types import FrameType

from evaluation.fiftyone.library import fiftyone
from pipelines.faults import BadSetup

_START_S = 60.0


def app_url(address: str, port: int, name: str) -> str:
    """Where a dataset is shown."""
    return f"http://{address}:{port}/datasets/{name}"


def run_app(name: str, address: str, port: int, ready: Callable[[str], None]) -> None:
    """Show a dataset until the process is told to end (Ctrl-C, SIGTERM).

    Args:
        address: to listen on; loopback keeps others out.
        ready: called with the address to open, once the App answers.

    Raises:
        BadSetup: the port is taken, or the App does not answer.
    """
    if _answers(address, port):
        raise BadSetup(f"something else answers on {address}:{port}; choose another with --port")
    ended = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        # Remote: it serves pages and opens no browser.
        fo = fiftyone()
        session = fo.launch_app(fo.load_dataset(name), address=address, port=port, remote=True)
        try:
            _await_answer(address, port, ended)
            ready(app_url(address, port, name))
            ended.wait()
        finally:
            session.close()
            fo.close_app()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _await_answer(address: str, port: int, ended: threading.Event) -> None:
    until_s = time.monotonic() + _START_S
    while not ended.is_set() and not _answers(address, port):
        if time.monotonic() > until_s:
            raise BadSetup(f"the App does not answer on {address}:{port} after {_START_S:.0f} s")
        ended.wait(0.2)


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
