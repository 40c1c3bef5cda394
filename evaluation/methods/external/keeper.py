"""Runs one command, and leaves nothing of it running. `process.py` starts it as a separate program, by its path.

It adopts the processes that the command's processes leave behind (Linux: it is their subreaper), so that one with its
own session is found too; it ends with the process that started it; and it keeps the logs small. Standard library only:
it runs without our environment.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO, NamedTuple

MAX_LOG_BYTES = 1 << 20
"""Bytes that are kept of the end of each log; at times it holds twice as much."""
PATIENCE_S = 5.0
"""How long processes that were killed may take to go."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LINUX = sys.platform == "linux"
_CHUNK_BYTES = 1 << 16


class _Ended(Exception):
    pass


class Log:
    """The end of what a command says, in a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")

    def write(self, data: bytes) -> None:
        """Append; once there is twice as much as is kept, the older half is dropped."""
        self._file.write(data)
        if self._file.tell() > 2 * MAX_LOG_BYTES:
            self._file.seek(-MAX_LOG_BYTES, os.SEEK_END)
            kept = self._file.read()
            self._file.seek(0)
            self._file.truncate()
            self._file.write(kept)
        self._file.flush()


class Limits(NamedTuple):
    """What a command is started with, as JSON in the first argument.

    Attributes:
        parent: process that wants this; without that process the command is ended.
    """

    parent: int
    time_limit_s: float
    stdout: str
    stderr: str


def main(limits: Limits, command: list[str]) -> dict[str, object]:
    """How it ended.

    `status` of the command (negative: a signal), or `late`, or `error`: why it did not start, or `broken`: why its log
    could not be written.
    """
    _bind_to(limits.parent)
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        return {"error": error.strerror or str(error)}
    except ValueError as error:  # A NUL in an argument.
        return {"error": str(error)}
    assert child.stdout is not None and child.stderr is not None, "both are pipes"
    logs = {child.stdout: Log(Path(limits.stdout)), child.stderr: Log(Path(limits.stderr))}
    late = False
    try:
        late = not _wait(child, logs, time.monotonic() + limits.time_limit_s)
    except _Ended:
        pass
    except OSError as error:
        return {"broken": error.strerror or str(error)}
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _kill_all(child)
    _drain(logs)
    return {"late": True} if late else {"status": child.returncode}


def _bind_to(parent: int) -> None:
    signal.signal(signal.SIGTERM, _end)
    if _LINUX:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    raise _Ended


def _wait(child: subprocess.Popen[bytes], logs: dict[IO[bytes], Log], deadline_s: float) -> bool:
    """Copy the command's output until it has exited (True) or the time is over (False)."""
    with selectors.DefaultSelector() as selector:
        for pipe, log in logs.items():
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, log)
        while child.poll() is None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            # Its end is no event, so it is asked for.
            for key, _ in selector.select(min(left_s, 0.1)):
                if not _copy(key.fd, key.data):
                    selector.unregister(key.fileobj)
            if not selector.get_map():
                time.sleep(min(left_s, 0.1))
    return True


def _copy(descriptor: int, log: Log) -> bool:
    """Copy what is there; False at the end."""
    try:
        data = os.read(descriptor, _CHUNK_BYTES)
    except BlockingIOError:
        return True
    log.write(data)
    return bool(data)


def _drain(logs: dict[IO[bytes], Log]) -> None:
    """Copy the last output; a pipe holds little, and no process writes to it any more."""
    for pipe, log in logs.items():
        os.set_blocking(pipe.fileno(), False)
        for _ in range(64):
            try:
                data = os.read(pipe.fileno(), _CHUNK_BYTES)
            except BlockingIOError:
                break
            if not data:
                break
            log.write(data)


def _kill_all(child: subprocess.Popen[bytes]) -> None:
    """Kill the command's group, and then all descendants of this process, until there are none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        child.poll()
        left = _below(os.getpid())
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            if pid != child.pid:
                with contextlib.suppress(ChildProcessError):  # Not ours until its parent is gone.
                    os.waitpid(pid, os.WNOHANG)
        if not left and child.returncode is not None:
            return
        time.sleep(0.01)


def _below(root: int) -> list[int]:
    """Descendants of a process, also those that have exited and wait to be reaped; empty where there is no /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
        except (OSError, IndexError, ValueError):
            continue
    found: set[int] = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {root})


if __name__ == "__main__":
    print(json.dumps(main(Limits(**json.loads(sys.argv[1])), sys.argv[2:])), flush=True)
