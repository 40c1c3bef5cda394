"""Calls a function in a second process, which is ended when it takes too long.

Foreign files are read there. A loop inside C code cannot be interrupted in its own process, not even by Ctrl-C, and a
file that crashes its reader would end the run. One such process serves all calls of this process, one after another,
and a new one is started after it was ended; it costs half a second of a core to start, and then less than 1 ms a call.
"""

import atexit
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from decoupage.faults import BadItem

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_START_S = 300.0
"""Time to start, imports included; generous, for a busy machine."""
_GRACE_S = 5.0
"""How much later the process ends itself, in case no process is left to end it."""
_PROGRAM = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes; the other one decides.
from {__name__} import serve
serve(int(sys.argv[1]))
"""


def call_limited(function: Callable[[Argument], Result], argument: Argument, limit_s: float) -> Result:
    """Call a function of one argument in the second process.

    Args:
        function: picklable, as are its argument and its result.
        limit_s: time that the call may take.

    Raises:
        BadItem: `too_slow`, `too_large` (it does not fit into memory), or `crashed` when the process ended in the
            middle (a fault in C code, or the system was out of memory).
        Exception: what the function raises.
    """
    return _beside.call(function, argument, limit_s)


class _Beside:
    """The second process: started by the first call, and again after it was ended."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: Connection | None = None
        self.lock = threading.Lock()

    def call(self, function: Callable[[Any], Any], argument: Any, limit_s: float) -> Any:
        with self.lock:
            try:
                result, error = self._ask(pickle.dumps((function, argument)), limit_s)
            except (EOFError, ConnectionError):
                status = self.end(wait_s=1.0)
                raise BadItem("crashed", f"the process that read it ended with status {status}") from None
            except BaseException:
                # The time is over, or Ctrl-C: its answer would be taken for that of the next call.
                self.end()
                raise
        if error is not None:
            raise error
        return result

    def _ask(self, packed: bytes, limit_s: float) -> Any:
        connection = self._started()
        connection.send((packed, limit_s))
        # The first answer says that the call begins: modules are imported. The second is the result.
        for wait_s in (_START_S, limit_s):
            if not connection.poll(wait_s):
                raise BadItem("too_slow", f"reading it was stopped after {wait_s:g} s")
            answer = connection.recv()
            if answer is not None:
                break
        return answer

    def _started(self) -> Connection:
        if self.connection is not None and self.process is not None and self.process.poll() is None:
            return self.connection
        self.end()
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                # -P: modules of the working directory are not ours.
                [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # A library's print must not stand in a command's --json.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            )
        self.connection = Connection(ours.detach())
        return self.connection

    def end(self, wait_s: float = 0.0) -> int | None:
        """End the process, at once or when it has not ended by itself; returns its status, -N for signal N."""
        if self.connection is not None:
            self.connection.close()
        process, self.process, self.connection = self.process, None, None
        if process is None:
            return None
        try:
            return process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def forget(self) -> None:
        """In a fork of this process: the second process belongs to the original."""
        self.__init__()  # type: ignore[misc]


_beside = _Beside()
atexit.register(_beside.end)
os.register_at_fork(after_in_child=_beside.forget)


def serve(descriptor: int) -> None:
    """The program of the second process: answers calls until the other end is closed."""
    import cv2

    cv2.setNumThreads(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # Ends this process, whatever it is in the middle of.
    connection = Connection(descriptor)
    while True:
        try:
            packed, limit_s = connection.recv()
            connection.send_bytes(_answer(packed, limit_s, connection))
        except (EOFError, ConnectionError):
            return


def _answer(packed: bytes, limit_s: float, connection: Connection) -> bytes:
    """The pickle of (result, error) of a call, one of which is None."""
    try:
        function, argument = pickle.loads(packed)  # noqa: S301 - packed by `_Beside`, nothing foreign.
        connection.send(None)
        signal.setitimer(signal.ITIMER_REAL, limit_s + _GRACE_S)
        data = pickle.dumps((function(argument), None))
    except MemoryError:
        data = pickle.dumps((None, BadItem("too_large", "it does not fit into memory")))
    except Exception as error:  # noqa: BLE001 - raised again in the other process.
        if not isinstance(error, BadItem):
            error.add_note(f"In the other process:\n{traceback.format_exc()}")
        data = pickle.dumps((None, error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return data
