"""Dagster's home, opened by several programs at once, by none before, and damaged."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from assets_defs.home import opened_instance
from decoupage.faults import BadSetup

CHECKOUT = Path(__file__).parents[2]
OPEN = (
    "import sys; from assets_defs.home import opened_instance\n"
    "with opened_instance() as instance:\n    instance.add_dynamic_partitions('opened', [sys.argv[1]])"
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    shutil.copy(CHECKOUT / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


def opening(*names):
    """Processes that open the home, all at once."""
    return [subprocess.Popen([sys.executable, "-c", OPEN, name], stderr=subprocess.PIPE, text=True) for name in names]


def test_programs_that_open_a_fresh_home_at_once_find_it_whole(home):
    started = opening("demo", "ui", "daemon")
    told = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], told
    assert told == ["", "", ""]  # Nor do the database migrations speak.
    with opened_instance() as instance:
        assert set(instance.get_dynamic_partitions("opened")) == {"demo", "ui", "daemon"}
    assert not list(home.glob(".new.*"))


def test_a_killed_program_leaves_nothing_half_made(home):
    for moment_s in (0.0, 0.3):
        (process,) = opening("killed")
        while process.poll() is None and not list(home.glob(".new.*")):
            time.sleep(0.005)
        time.sleep(moment_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with opened_instance() as instance:
            assert instance.get_runs() == []
        assert not list(home.glob(".new.*"))
        for name in ("history", "schedules"):
            shutil.rmtree(home / name)


def test_what_dagster_made_itself_stays(home):
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("days", ["monday"])
    with opened_instance() as instance:
        assert instance.get_dynamic_partitions("days") == ["monday"]


def test_damaged_databases_are_told_with_what_to_do(home):
    with opened_instance():
        pass
    with sqlite3.connect(home / "history" / "runs.db") as database:
        database.execute("DROP TABLE runs")
    with pytest.raises(BadSetup, match=r"no such table: runs.*move schedules and history away"), opened_instance():
        pass


@pytest.mark.parametrize("named", ["", "/nowhere/at/all"])
def test_without_a_home_it_is_told(monkeypatch, named):
    monkeypatch.setenv("DAGSTER_HOME", named)
    with pytest.raises(BadSetup, match="DAGSTER_HOME must name a folder"), opened_instance():
        pass
    assert not Path("/nowhere").exists()
