"""Programs that the demo starts: each with a log, all found again by a mark in their environment, none left running.

The mark also finds what a program started itself and lost, such as Ray's workers. Linux only: it is read from /proc.
"""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from decoupage.faults import BadSetup

MARK = "CLUSTER_DEMO"
END_S = 20.0
"""Seconds that a program has to end after SIGTERM."""
_POLL_S = 0.1
_LAST_LINES = 15


@dataclass(frozen=True)
class Programs:
    """Programs of one demo.

    Attributes:
        folder: of the logs, one file a program.
        mark: value of the variable that all of them bear.
    """

    folder: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    @contextmanager
    def running(
        self, name: str, line: Sequence[str], environment: Mapping[str, str], end: signal.Signals = signal.SIGTERM
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Context with a running program, which ends with it.

        Args:
            name: of the program; its output goes to `<name>.log`.
            end: the signal that asks it to end.
        """
        with self.log(name).open("ab") as log:
            # In a session of its own: Ctrl-C in the terminal reaches this process alone, which ends the others.
            process = subprocess.Popen(
                line,
                env={**environment, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.send_signal(end)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def log(self, name: str) -> Path:
        """The file with a program's output."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{name}.log"

    def wait(self, name: str, process: "subprocess.Popen[bytes]", is_ready: Callable[[], bool], seconds: float) -> None:
        """Return once a program is ready. Raises BadSetup: it ended or took too long; with the end of its log."""
        until_s = time.monotonic() + seconds
        while not is_ready():
            if process.poll() is not None or time.monotonic() > until_s:
                said = "\n".join(self.log(name).read_text(errors="replace").splitlines()[-_LAST_LINES:])
                how = "did not start" if process.poll() is None else f"ended with status {process.returncode}"
                raise BadSetup(f"{name} {how}; {self.log(name)} says:\n{said}")
            time.sleep(_POLL_S)

    def alive(self) -> dict[int, str]:
        """Command lines, by process id, of all programs with this mark, and of what they started."""
        wanted = f"{MARK}={self.mark}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    found[int(folder.name)] = line
            except (FileNotFoundError, ProcessLookupError, PermissionError):  # It has ended, or is not ours.
                continue
        return {number: line for number, line in found.items() if line and number != os.getpid()}

    def end_all(self) -> dict[int, str]:
        """Kill what is left; returns what withstood that."""
        until_s = time.monotonic() + END_S
        while (left := self.alive()) and time.monotonic() < until_s:
            for number in left:
                try:
                    os.kill(number, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(_POLL_S)
        return left


def free_port() -> int:
    """A port of the loopback address that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether a program accepts connections on a port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
