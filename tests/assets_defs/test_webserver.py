"""Dagster's UI behind the guard: foreign pages change nothing, its own pages work, and it ends as a whole."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import httpx2
import psutil
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from assets_defs.origin import DEFINITIONS, name_origin
from assets_defs.webserver import guarded_app
from tests.assets_defs.small import SMALL
from tests.browser import chromium, wait
from tests.served import raw, served

CHECKOUT = Path(__file__).parents[2]
FOREIGN = "http://evil.example"
CHANGE = 'mutation { setConcurrencyLimit(concurrencyKey: "taken", limit: 7) }'


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("home"))) as instance:
        yield instance


@pytest.fixture(scope="module")
def workspace(instance):
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def port(workspace, tmp_path_factory):
    with served(guarded_app(workspace, str(tmp_path_factory.mktemp("root")))) as port:
        yield port


@pytest.fixture
def unchanged(instance):
    yield
    assert instance.event_log_storage.get_concurrency_keys() == set()


@pytest.mark.usefixtures("unchanged")
def test_foreign_pages_change_nothing(port):
    url, query = f"http://127.0.0.1:{port}/graphql", {"query": CHANGE}
    picture = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    tried = [
        httpx2.get(url, params=query),  # A picture in an old browser, which says nothing of where it comes from.
        httpx2.get(url, params=query, headers=picture),
        httpx2.get(url, params=query, headers=link),
        httpx2.head(url, params=query),
        httpx2.post(url, params=query, headers={"Origin": FOREIGN}),  # A form.
        httpx2.post(url, params=query, headers={"Origin": "null"}),  # A form in a sandboxed frame.
        httpx2.post(url, params=query, headers={"Sec-Fetch-Site": "cross-site"}),
        httpx2.post(url, params=query, headers={"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}),
        httpx2.post(url, json=query, headers={"Origin": FOREIGN}),
        httpx2.post(
            url, json=query, headers={"Host": f"evil.example:{port}", "Origin": f"{FOREIGN}:{port}"}
        ),  # Rebound.
        httpx2.options(url, headers={"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}),
        httpx2.post(f"http://127.0.0.1:{port}/report_asset_materialization/dataset", headers={"Origin": FOREIGN}),
    ]
    assert [answer.status_code for answer in tried] == [403] * len(tried)
    assert raw(port, "POST http://evil.example/graphql HTTP/1.1\nHost: evil.example\nContent-Length: 0\n\n") == 403
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{port}/graphql", origin=FOREIGN, proxy=None):
        pass


def test_behind_a_proxy_it_is_called_by_that_name_and_no_other(workspace):
    with served(guarded_app(workspace, "", ["Dagster.example.org"])) as port:
        url, page = f"http://127.0.0.1:{port}/server_info", {"Origin": "https://dagster.example.org"}
        names = ("dagster.example.org", f"127.0.0.1:{port}", "evil.example", "dagster.example.org.evil.example")
        assert [httpx2.get(url, headers={"Host": name}).status_code for name in names] == [200, 200, 403, 403]
        assert httpx2.get(url, headers={"Host": "dagster.example.org", **page}).status_code == 200


@pytest.mark.usefixtures("unchanged")
def test_no_file_is_given_by_a_path_that_climbs(port):
    for path in (
        "/logs/../../etc/passwd",
        "/root/../../etc/passwd",
        "/_next/../../../../app.py",
        "/vendor/../csp-header.txt",
    ):
        assert raw(port, f"GET {path} HTTP/1.1\nHost: 127.0.0.1:{port}\n\n") == 403


def test_its_own_page_can_do_what_it_does(port, instance):
    url = f"http://127.0.0.1:{port}"
    page = {"Origin": url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    assert '<div id="__next"' in httpx2.get(url).text
    assert httpx2.post(f"{url}/graphql", json={"query": CHANGE}, headers=page).json()["data"]["setConcurrencyLimit"]
    assert instance.event_log_storage.get_concurrency_keys() == {"taken"}
    instance.event_log_storage.delete_concurrency_limit("taken")
    with connect(f"ws://127.0.0.1:{port}/graphql", origin=url, subprotocols=["graphql-ws"], proxy=None) as live:
        live.send(json.dumps({"type": "connection_init"}))
        assert json.loads(live.recv(timeout=30)) == {"type": "connection_ack"}
        subscription = "subscription { locationStateChangeEvents { __typename } }"
        live.send(json.dumps({"id": "1", "type": "start", "payload": {"query": subscription}}))
        with pytest.raises(TimeoutError):  # No error comes back.
            live.recv(timeout=0.5)


def test_without_the_guard_a_picture_would_change_things(workspace, instance):
    with served(create_app_from_workspace_process_context(workspace)) as port:
        httpx2.get(f"http://127.0.0.1:{port}/graphql", params={"query": CHANGE})
    assert instance.event_log_storage.get_concurrency_keys() == {"taken"}
    instance.event_log_storage.delete_concurrency_limit("taken")


def test_a_run_of_another_program_shows_under_its_job(port, instance):
    @dg.job
    def everything() -> None:
        pass

    with dg.DagsterInstance.from_ref(instance.get_ref()) as theirs:
        name_origin(theirs, "everything")
        done = everything.execute_in_process(instance=theirs)
    repository = [{"key": ".dagster/repository", "value": f"__repository__@{DEFINITIONS}"}]
    query = """query Under($tags: [ExecutionTag!]) { runsOrError(filter: {pipelineName: "everything", tags: $tags}) {
      ... on Runs { results { runId repositoryOrigin { repositoryName repositoryLocationName } } } } }"""
    answer = httpx2.post(f"http://127.0.0.1:{port}/graphql", json={"query": query, "variables": {"tags": repository}})
    (run,) = answer.json()["data"]["runsOrError"]["results"]
    assert run["runId"] == done.run_id and run["repositoryOrigin"]["repositoryLocationName"] == DEFINITIONS


# --- the whole of it ----------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(CHECKOUT / "dagster.yaml", home)
    small = {f"DECOUPAGE__{key.upper().replace('.', '__')}": value for key, value in SMALL.items()}
    return {**os.environ, **small, "DAGSTER_HOME": str(home), "DECOUPAGE_ROOT": str(tmp_path / "root")}


@contextmanager
def running(environment, log):
    """A started server; gives its process and its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with log.open("w") as file:
        process = subprocess.Popen(command(port), cwd=CHECKOUT, env=environment, stderr=file, start_new_session=True)
        try:
            wait(lambda: "Ctrl-C ends it" in log.read_text() or process.poll() is not None, "the UI")
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def command(port):
    return [sys.executable, "-m", "assets_defs.webserver", "--port", str(port)]


def test_a_taken_port_is_told_at_once(environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = command(taken.getsockname()[1])
        done = subprocess.run(line, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be used (Address already in use); name another: make ui PORT=3001" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("variable", ["DECOUPAGE_PROFILE", "DAGSTER_HOME"])
def test_a_wrong_set_up_is_told(environment, variable):
    line = command(0)
    wrong = environment | {variable: "absent"}
    done = subprocess.run(line, cwd=CHECKOUT, env=wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Dagster cannot start: ") and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_nothing_of_it_stays(environment, tmp_path, number):
    with running(environment, tmp_path / "log") as (process, url):
        assert httpx2.get(url).status_code == 200
        others = psutil.Process(process.pid).children(recursive=True)
        assert len(others) >= 3  # The code server, the server that it starts, the daemon.
        process.send_signal(number)
        assert process.wait(60) == (-number if number == signal.SIGKILL else 0)
        psutil.wait_procs(others, timeout=60)
        assert not [other for other in others if other.is_running() and other.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_a_part_that_ends_ends_the_whole(environment, tmp_path):
    with running(environment, tmp_path / "log") as (process, _):
        daemon = [p for p in psutil.Process(process.pid).children() if "dagster._daemon" in p.cmdline()]
        daemon[0].kill()
        assert process.wait(60) == 1
    assert "the daemon ended by itself" in (tmp_path / "log").read_text()


@pytest.mark.slow
@pytest.mark.browser
def test_an_asset_is_materialized_by_mouse(environment, tmp_path):
    with running(environment, tmp_path / "log") as (_, url), chromium(tmp_path / "profile") as open_page:
        page = open_page(f"{url}/assets/mulan_annotations")
        page.desk()
        button = "[...document.querySelectorAll('button')].find(found => /^Materialize/.test(found.textContent))"
        page.wait(f"!!{button} && !{button}.disabled")
        page(f"{button}.click()")
        with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
            (run,) = wait(instance.get_runs, "a run")
            page.go(f"{url}/runs/{run.run_id}")
            page.wait("document.body.textContent.includes('ASSET_MATERIALIZATION')")  # Over the websocket.
            wait(lambda: instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.SUCCESS, "the run's end")
        deadline_s = time.monotonic() + 30
        while "Success" not in page("document.body.textContent") and time.monotonic() < deadline_s:
            time.sleep(0.2)
        assert "Success" in page("document.body.textContent")
