"""Dagster's instance in DAGSTER_HOME, opened so that several programs may open a fresh one at once.

Dagster makes its SQLite databases when it first opens them, and two programs that do so at the same time leave tables
half made and two versions of the schema, which nothing repairs. So one program makes them while the others wait,
in another place, and moves them, so that a killed program leaves nothing behind. Tables in Postgres are made by Dagster
itself, which copes with others that do the same.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg

from decoupage.faults import BadSetup
from decoupage.requirements import install_line

_POSTGRES = "dagster_postgres"
"""Package of the storage in Postgres, as `deploy/dagster.postgres.yaml` sets it."""
_DATABASES = ("schedules", "history")
"""Folders of SQLite storage in DAGSTER_HOME."""
_CONFIG = "dagster.yaml"
_NEW = ".new."
_UNSET = re.compile(r'environment variable "(\w+)" which is not set')
"""In Dagster's message on a setting that `env:` names."""


@contextmanager
def opened_instance(overrides: Mapping[str, Any] | None = None) -> Iterator[dg.DagsterInstance]:
    """Context with the instance of DAGSTER_HOME, its databases made where they are absent.

    Args:
        overrides: settings that replace those of its `dagster.yaml`.

    Raises:
        BadSetup: DAGSTER_HOME is not set or not a folder, or its storage cannot be opened.
    """
    named = os.environ.get("DAGSTER_HOME", "")
    home = Path(named)
    if not home.is_absolute() or not home.is_dir():
        raise BadSetup(
            "DAGSTER_HOME must name a folder for Dagster's history by its absolute path, "
            f"got {named!r}; set it, or start with make"
        )
    with _in_turn(home / "open.lock"):
        if not _in_postgres(home) and not any((home / folder).exists() for folder in _DATABASES):
            _make_databases(home)
        instance = _open(home, overrides)
    with instance:
        yield instance


@contextmanager
def _in_turn(path: Path) -> Iterator[None]:
    """Hold a file's lock; waits for it. The system takes it back from a process that ends, however it ends."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_databases(home: Path) -> None:
    for left in home.glob(f"{_NEW}*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_NEW, dir=home) as folder:
        new = Path(folder)
        if (home / _CONFIG).exists():
            shutil.copy(home / _CONFIG, new)
        with _open(new):
            pass
        # In this order: `history` alone would never be seen as fresh, and Dagster makes an absent `schedules` itself.
        for name in _DATABASES:
            if (new / name).is_dir():
                (new / name).rename(home / name)


def _in_postgres(home: Path) -> bool:
    """Whether the folder's `dagster.yaml` keeps the records in Postgres. Raises BadSetup: its package is absent."""
    from dagster._core.instance.ref import InstanceRef

    storage = InstanceRef.from_dir(str(home)).storage_data
    if storage is None or storage.module_name != _POSTGRES:
        return False
    if find_spec(_POSTGRES) is None:
        raise BadSetup(f"{home / _CONFIG} names Postgres, whose client is not installed; {install_line('postgres')}")
    return True


def _open(home: Path, overrides: Mapping[str, Any] | None = None) -> dg.DagsterInstance:
    """The instance of a folder, with each of its databases opened."""
    from alembic.util import CommandError
    from dagster._core.errors import DagsterInvalidConfigError
    from dagster._core.instance.ref import InstanceRef
    from sqlalchemy.exc import SQLAlchemyError

    faults: tuple[type[Exception], ...] = (SQLAlchemyError, CommandError)
    if _in_postgres(home):
        from dagster_postgres.utils import DagsterPostgresException

        faults = (*faults, DagsterPostgresException, DagsterInvalidConfigError)
    with ExitStack() as opened:
        try:
            ref = InstanceRef.from_dir(str(home), overrides=dict(overrides or {}))
            instance = dg.DagsterInstance.from_ref(ref)
            opened.callback(instance.dispose)
            instance.get_runs(limit=1)
            instance.all_asset_keys()
            instance.all_instigator_state()
        except faults as error:
            raise BadSetup(_told(home, error)) from error
        opened.pop_all()
    return instance


def _told(home: Path, error: Exception) -> str:
    """Why the storage cannot be opened, and what to do."""
    unset = _UNSET.search(str(error))
    if unset:
        return f"{home / _CONFIG} takes {unset[1]} from the environment, which is not set; see docs/deploy.md"
    reason = str(error.__cause__ or error).splitlines()[0]
    if _in_postgres(home):
        return (
            f"Dagster's records in Postgres cannot be opened: {reason}. Start the server, or correct DAGSTER_POSTGRES_*"
        )
    return (
        f"Dagster's storage for {home} cannot be opened: {reason}. Where it is the SQLite files in that folder, they "
        f"are damaged: move {' and '.join(_DATABASES)} away and start again; the history of runs is then lost, but no "
        "data"
    )
