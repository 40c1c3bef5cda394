"""Runs a foreign command, with all that it starts, to its end or its time limit, and keeps the end of its output.

It gets no shell, no input, and a small environment without our settings and secrets. Its output is not judged here; the
process that supervises it is in `keeper.py`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.methods.external import keeper

_PASSED = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "OMP_NUM_THREADS",
)
"""Variables that every command gets."""
_STDOUT, _STDERR = "stdout.log", "stderr.log"
_TAIL_BYTES, _TAIL_CHARACTERS = 4096, 400
_GRACE_S = keeper.PATIENCE_S + 5


@dataclass(frozen=True)
class Ending:
    """How a command ended: `fault` is empty when it exited with status 0."""

    fault: str


def run_command(command: Sequence[str], folder: Path, time_limit_s: int, variables: Sequence[str] = ()) -> Ending:
    """Run a command; the end of its output goes to `stdout.log` and `stderr.log` in `folder`.

    When this returns, and also when this process is killed, nothing of the command runs any more, whatever session it
    took (on Linux; elsewhere its process group is ended).

    Args:
        variables: names of those that it gets in addition to the usual ones.
    """
    environment = {name: os.environ[name] for name in (*_PASSED, *variables) if name in os.environ}
    logs = {"stdout": str(folder / _STDOUT), "stderr": str(folder / _STDERR)}
    asked = json.dumps({"parent": os.getpid(), "time_limit_s": time_limit_s, **logs})
    watch = subprocess.Popen(
        [sys.executable, "-I", keeper.__file__, asked, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches us alone, and then it is ended in order.
    )
    try:
        said, _ = watch.communicate(timeout=time_limit_s + _GRACE_S)
    except subprocess.TimeoutExpired:
        said = b""
    finally:
        _end(watch)
    return Ending(_fault(said, command[0], time_limit_s, folder))


def _end(watch: "subprocess.Popen[bytes]") -> None:
    """Make it end the command if it still runs, and then itself."""
    watch.terminate()
    try:
        watch.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        watch.kill()
        watch.wait()


def _fault(said: bytes, program: str, time_limit_s: int, folder: Path) -> str:
    try:
        ending = json.loads(said)
    except ValueError:
        return f"was killed together with the process that supervises it{_tail(folder)}"
    if "error" in ending:
        return f"could not be started ({ending['error']}: {program})"
    if "broken" in ending:
        return f"was ended because its output cannot be written ({ending['broken']})"
    if "late" in ending:
        return f"was killed after {time_limit_s} s{_tail(folder)}"
    return "" if ending["status"] == 0 else f"{_told(ending['status'])}{_tail(folder)}"


def _told(status: int) -> str:
    return f"exited with status {status}" if status > 0 else f"was ended by {signal.Signals(-status).name}"


def _tail(folder: Path) -> str:
    """The end of its output, on one line, without control characters."""
    for name in (_STDERR, _STDOUT):
        path = folder / name
        if not path.is_file():
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
        said = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if said:
            return f": {said[-_TAIL_CHARACTERS:]}"
    return ""
