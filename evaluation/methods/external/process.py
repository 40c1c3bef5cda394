"""Runs somebody's command to its end or to its time limit, with all that it starts, and keeps what it said.

It gets no shell, no input and none of our secrets. What its output is worth is not judged here.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_PID, _STDOUT, _STDERR = "pid", "stdout.log", "stderr.log"
_TAIL_BYTES, _TAIL_CHARACTERS = 4096, 400


@dataclass(frozen=True)
class Ending:
    """How a command ended: `fault` is empty when it left with status 0."""

    fault: str


def run_command(command: Sequence[str], folder: Path, time_limit_s: int) -> Ending:
    """Run a command; its output goes to `stdout.log` and `stderr.log` in `folder`.

    Args:
        folder: of this run, named in the command's arguments; a process that a killed run of ours left working
            on it is ended first.
    """
    _end_orphan(folder)
    variables = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    with (folder / _STDOUT).open("wb") as stdout, (folder / _STDERR).open("wb") as stderr:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=variables, start_new_session=True
            )
        except OSError as error:
            return Ending(f"could not be started ({error.strerror}: {command[0]})")
        try:
            (folder / _PID).write_text(str(process.pid))
            status = process.wait(time_limit_s)
        except subprocess.TimeoutExpired:
            return Ending(f"was killed after {time_limit_s} s{_tail(folder)}")
        finally:
            _kill_group(process.pid)
            process.wait()
            (folder / _PID).unlink(missing_ok=True)
    return Ending("" if status == 0 else f"{_told(status)}{_tail(folder)}")


def _told(status: int) -> str:
    return f"left with status {status}" if status > 0 else f"died of {signal.Signals(-status).name}"


def _tail(folder: Path) -> str:
    """The last that it said, on one line, without control characters."""
    for name in (_STDERR, _STDOUT):
        path = folder / name
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
        said = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if said:
            return f": {said[-_TAIL_CHARACTERS:]}"
    return ""


def _kill_group(pid: int) -> None:
    """Also what a command left running behind it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _end_orphan(folder: Path) -> None:
    """End the process of a run that was killed itself, if it still works on this folder (known by its arguments)."""
    try:
        pid = int((folder / _PID).read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if os.fsencode(folder) in arguments:
        _kill_group(pid)
