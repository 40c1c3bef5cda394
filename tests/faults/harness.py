"""Faults on real processes: start a command, wait for a state of its files, hurt it, judge what the next run leaves.

What is judged is always the same: the next run completes, `shards verify` is clean, every object has the bytes of a run
that nothing disturbed, nothing temporary is left, and no process is.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from commands import main as cli
from decoupage.fingerprint import canonical_json
from pipelines.stages.store import Store

CHECKOUT = Path(__file__).parents[2]
NUM_SCENES = 8
PROFILE = {
    "DECOUPAGE__SCENES__NUM_SCENES": str(NUM_SCENES),
    "DECOUPAGE__SCENES__SCENES_PER_SHARD": "2",
    "DECOUPAGE__SCENES__SIZE_PX": "96",
    "DECOUPAGE__MAPS__SEGMENTATION__SIZE_PX": "96",
    "DECOUPAGE__MAPS__DEPTH__SIZE_PX": "96",
    "DECOUPAGE__GENERATED__PROMPTS_PER_CATEGORY": "1",
    "DECOUPAGE__GENERATED__SIZE_PX": "160",
    "DECOUPAGE__ENGINE__KIND": "serial",
    "OMP_NUM_THREADS": "1",
}
"""The demo in four shards of two small scenes."""
SOURCES = ("sources", "foregrounds", "backgrounds", "library", "plans", "quarantine")
"""Folders of a root that come before the scenes."""
PATIENCE_S = 300.0
_TOKEN = "FAULTS_TOKEN"


# --- processes --------------------------------------------------------------------------------------------------


@dataclass
class Started:
    """A command in a session of its own; every process that it starts is found by a variable in its environment."""

    process: "subprocess.Popen[bytes]"
    log: Path
    token: str

    @property
    def said(self) -> str:
        """What it printed so far."""
        return self.log.read_text(errors="replace")

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Return at the instant when the condition holds; it must come while the process runs."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"it ended before {what}:\n{self.said}"
            assert time.monotonic() < deadline_s, f"no {what} within {PATIENCE_S:.0f} s:\n{self.said}"
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and nothing but it, to the process itself."""
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL, f"it ended before it was killed:\n{self.said}"

    def ended(self) -> int:
        """Its exit status."""
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {PATIENCE_S:.0f} s:\n{self.said}") from None

    def descendants(self, named: str = "") -> list[int]:
        """Processes with this command's token, without itself, whose command line holds a text."""
        found = []
        for place in Path("/proc").iterdir():
            if place.name.isdigit() and int(place.name) != self.process.pid:
                try:
                    variables = (place / "environ").read_bytes().split(b"\0")
                    line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if f"{_TOKEN}={self.token}".encode() in variables and named in line:
                    found.append(int(place.name))
        return sorted(found)

    def assert_all_gone(self, within_s: float = 15.0) -> None:
        """Every process that it started has ended, or does so within seconds."""
        deadline_s = time.monotonic() + within_s
        while left := self.descendants():
            assert time.monotonic() < deadline_s, f"processes {left} are left"
            time.sleep(0.05)

    def close(self) -> None:
        """Kill what is left, so that a failed test leaves nothing."""
        for pid in (*self.descendants(), self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


@dataclass
class Commands:
    """Starts commands, and ends what is left of them."""

    folder: Path
    all: list[Started] = field(default_factory=list)

    def start(self, *arguments: object, **variables: str) -> Started:
        """Start `decoupage` with these arguments."""
        return self.module("commands.main", *arguments, **variables)

    def module(self, name: str, *arguments: object, **variables: str) -> Started:
        """Start `python -m name` with these arguments."""
        token = uuid.uuid4().hex
        log = self.folder / f"log-{len(self.all)}.txt"
        paths = [path for path in (variables.pop("PYTHONPATH", ""), str(CHECKOUT)) if path]
        environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(paths), _TOKEN: token}
        with log.open("wb") as output:
            process = subprocess.Popen(
                # Behind the test itself, which has to see what the command does at the instant it does it.
                ["nice", "-n", "10", sys.executable, "-m", name, *map(str, arguments)],
                cwd=CHECKOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started = Started(process, log, token)
        self.all.append(started)
        return started

    def make(self, root: str | Path, *options: object, **variables: str) -> Started:
        """Start `scenes make`."""
        return self.start("scenes", "make", "--root", root, *options, **variables)


def decoupage(*arguments: object) -> int:
    """Exit status of the command, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["decoupage", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
    return int(left.value.code or 0)


# --- roots ------------------------------------------------------------------------------------------------------


def copy_sources(whole: Path, root: Path) -> Path:
    """A root that holds all that comes before the scenes."""
    for name in SOURCES:
        shutil.copytree(whole / name, root / name)
    return root


def state(root: str | Path) -> dict[str, str]:
    """Hash of every object of a root; of a manifest without its seconds, which alone may differ."""
    store = Store(str(root))
    return {path: hashlib.sha256(_comparable(path, store.read(path))).hexdigest() for path in store.tree()}


def _comparable(path: str, data: bytes) -> bytes:
    if not path.endswith(".json"):
        return data
    told = json.loads(data)
    if isinstance(told, dict) and "manifest_sha256" in told:
        told = {key: value for key, value in told.items() if key not in {"seconds", "manifest_sha256"}}
    return canonical_json(told)


def hidden(root: Path) -> list[str]:
    """Temp files, locks and partial folders below a root."""
    return sorted(str(path.relative_to(root)) for path in root.rglob(".*"))


def has(root: str | Path, path: str) -> Callable[[], bool]:
    """Condition: the object is there."""
    store = Store(str(root))
    return lambda: store.exists(path)


def in_hand(root: Path, stage: str, num_bytes: int = 1) -> Callable[[], bool]:
    """Condition: a tar of this stage is being written, and a part of it is on the disk."""

    def some() -> bool:
        try:
            return any(temp.stat().st_size >= num_bytes for temp in (root / stage).glob(".*.tar.*.tmp"))
        except FileNotFoundError:
            return False

    return some


def assert_recovers(root: str | Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next run completes, verify is clean, all bytes are those of the undisturbed root, and nothing is left."""
    assert decoupage("scenes", "make", "--root", root) == 0
    assert_like(root, whole, capsys)


def assert_like(root: str | Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `assert_recovers`, without a further run."""
    capsys.readouterr()
    status = decoupage("shards", "verify", root, "--json")
    told = json.loads(capsys.readouterr().out)
    assert (status, told["faults"], told["num_scenes"], told["beyond"]) == (0, [], NUM_SCENES, [])
    ours, theirs = state(root), state(whole)
    assert sorted(ours) == sorted(theirs)
    assert [path for path in theirs if ours[path] != theirs[path]] == []
    if Store(str(root)).is_local:
        assert hidden(Path(root)) == []
