"""What happens without a hand: stale assets are found and asked for, and nothing else; failures are told."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest

from assets_defs.automation import failures
from assets_defs.automation.failures import WEBHOOK, report_failures
from assets_defs.automation.inputs import EXCLUSIONS, MULAN, PROMPTS, TAKEDOWNS, observe, watched_inputs
from assets_defs.automation.stale import RANGE_END, RANGE_START, stale_assets
from assets_defs.definitions import build_defs
from assets_defs.jobs import DATA_GROUPS
from assets_defs.plan import Plan
from decoupage.faults import BadSetup
from profiles.profile import Profile, load_profile
from tests.assets_defs.small import SMALL, run_job
from tests.pipelines.foregrounds.mulan.trees import COCO_TRAIN, COCO_VAL, annotate

CHECKS = ("enough", "sound", "pretty")
SWITCHES = ("nightly_data", "weekly_retrain", "changed_inputs", "died_runs")


def profile_at(folder: Path, **changes: str) -> Profile:
    takedowns = folder / "takedowns.txt"
    if not takedowns.exists():
        takedowns.write_text("# nothing yet\n")
    told = {key.replace("__", "."): value for key, value in changes.items()}
    return load_profile("demo", str(folder / "root"), {**SMALL, "library.takedowns": str(takedowns), **told})


def tick(profile: Profile, instance: dg.DagsterInstance, name: str):
    """What a schedule answers."""
    defs = build_defs(profile, dg.in_process_executor)
    context = dg.build_schedule_context(instance=instance, repository_def=defs.get_repository_def())
    return defs.get_repository_def().get_schedule_def(name).evaluate_tick(context)


def look(profile: Profile, instance: dg.DagsterInstance, cursor: str | None = None):
    """What the sensor answers."""
    defs = build_defs(profile, dg.in_process_executor)
    context = dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=defs.get_repository_def())
    return defs.get_repository_def().get_sensor_def("changed_inputs").evaluate_tick(context)


def names(request: dg.RunRequest) -> set[str]:
    return {key.to_user_string() for key in request.asset_selection or ()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(profile, instance, folder) of a finished dataset, with its inputs observed before."""
    folder = tmp_path_factory.mktemp("automation")
    (folder / "dagster").mkdir()
    profile = profile_at(folder)
    with dg.DagsterInstance.local_temp(str(folder / "dagster")) as instance:
        observe(instance, watched_inputs(Plan(profile)))
        assert run_job(profile, instance).success
        yield profile, instance, folder


@pytest.fixture
def instance(tmp_path):
    """One on disk: ticks get a reference to it."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as found:
        yield found


def test_everything_is_off_until_somebody_switches_it_on():
    repository = build_defs().get_repository_def()
    found = {d.name: d.default_status.value for d in (*repository.schedule_defs, *repository.sensor_defs)}
    assert found == dict.fromkeys(SWITCHES, "STOPPED")


def test_with_nothing_made_a_tick_asks_for_everything_of_its_job(tmp_path, instance):
    profile = profile_at(tmp_path)
    (request,) = tick(profile, instance, "nightly_data").run_requests
    graph = build_defs(profile).get_repository_def().asset_graph
    made = {key.to_user_string() for key in graph.materializable_asset_keys if graph.get(key).group_name in DATA_GROUPS}
    assert names(request) == made and {"scenes", "shards", "dataset"} <= made and TAKEDOWNS not in made
    assert request.tags[RANGE_START] == "00000" and request.tags[RANGE_END] == "00001"
    assert request.tags["decoupage/trigger"] == "nightly_data"


def test_with_nothing_changed_a_tick_asks_for_nothing(made):
    profile, instance, _ = made
    answer = tick(profile, instance, "nightly_data")
    assert not answer.run_requests and "nothing is stale" in answer.skip_message


def test_a_takedown_makes_its_followers_stale_and_a_run_makes_them_fresh(made):
    profile, instance, folder = made
    cursor = look(profile, instance).cursor
    assert look(profile, instance, cursor).skip_message == "no input has changed"
    store = Path(profile.root)
    (asset, *_) = json.loads((store / "shards" / "00000.json").read_text())["assets"]
    (folder / "takedowns.txt").write_text(f"{asset}\n")
    answer = look(profile, instance, cursor)
    (request,) = answer.run_requests
    assert {"foreground_library", "background_library", "scenes", "shards", "dataset"} <= names(request)
    assert not names(request) & {"mulan_annotations", "mulan_foregrounds", "openimages_index"}
    assert request.tags["decoupage/trigger"] == f"changed_inputs: {TAKEDOWNS}"
    job = build_defs(profile, dg.in_process_executor).resolve_job_def("dataset")
    done = job.execute_in_process(instance=instance, tags=request.tags, asset_selection=request.asset_selection)
    assert done.success
    assert asset not in json.loads((store / "shards" / "00000.json").read_text())["assets"]
    assert look(profile, instance, answer.cursor).skip_message == "no input has changed"
    assert not tick(profile, instance, "nightly_data").run_requests


def test_a_file_that_is_only_touched_starts_nothing(made):
    profile, instance, folder = made
    cursor = look(profile, instance).cursor
    takedowns = folder / "takedowns.txt"
    takedowns.write_text(takedowns.read_text() + "# a remark\n")
    answer = look(profile, instance, cursor)
    assert not answer.run_requests and answer.cursor != cursor and "contents are the same" in answer.skip_message


def test_while_a_run_is_at_work_a_change_waits_and_is_not_forgotten(made):
    profile, instance, folder = made
    cursor = look(profile, instance).cursor
    before = (folder / "takedowns.txt").read_text()
    (folder / "takedowns.txt").write_text(before + "nobody\n")
    job = build_defs(profile, dg.in_process_executor).resolve_job_def("dataset")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    for answer in (look(profile, instance, cursor), tick(profile, instance, "nightly_data")):
        assert not answer.run_requests and run.run_id[:8] in answer.skip_message
    instance.report_run_canceled(run)
    (request,) = look(profile, instance, cursor).run_requests
    assert "dataset" in names(request)


def test_a_missing_list_fails_the_tick_with_its_sentence(tmp_path, instance):
    profile = profile_at(tmp_path)
    (tmp_path / "takedowns.txt").unlink()
    with pytest.raises(dg.DagsterError) as told:
        tick(profile, instance, "nightly_data")
    assert isinstance(told.value.__cause__, BadSetup) and "takedowns.txt, which does not exist" in str(
        told.value.__cause__
    )


def test_new_annotations_and_photographs_are_noticed_by_stamp_and_by_content(tmp_path):
    annotate(tmp_path, COCO_TRAIN)
    (tmp_path / "images").mkdir(exist_ok=True)
    changes = {
        "mulan__source": "folder",
        "mulan__annotations": str(tmp_path / "annotations"),
        "mulan__images": str(tmp_path / "images"),
    }
    plan = Plan(profile_at(tmp_path, **changes))
    watched = {found.name: found for found in watched_inputs(plan)}
    assert set(watched) == {MULAN, PROMPTS, TAKEDOWNS, EXCLUSIONS}
    stamp, version = watched[MULAN].stamp(), watched[MULAN].version()
    assert (stamp, version) == (watched[MULAN].stamp(), watched[MULAN].version())
    annotate(tmp_path, COCO_VAL)
    assert watched[MULAN].stamp() != stamp and watched[MULAN].version() != version
    fetching = watched_inputs(Plan(profile_at(tmp_path, **changes, mulan__coco__download="true")))
    fetching = {found.name: found for found in fetching}
    stamp, version = watched[MULAN].stamp(), watched[MULAN].version()
    own = fetching[MULAN].stamp(), fetching[MULAN].version()
    (tmp_path / "images" / "train2017").mkdir()
    (tmp_path / "images" / "train2017" / f"{COCO_TRAIN}.jpg").write_bytes(b"only its size is looked at")
    assert watched[MULAN].stamp() != stamp and watched[MULAN].version() != version
    # What the product fetches by itself is no news to it.
    assert own == (fetching[MULAN].stamp(), fetching[MULAN].version())
    deps = build_defs(plan.profile).resolve_all_asset_specs()
    (annotations,) = [spec for spec in deps if spec.key.to_user_string() == "mulan_annotations"]
    assert [dep.asset_key.to_user_string() for dep in annotations.deps] == [MULAN]


def test_more_scenes_make_only_what_holds_them_stale(made):
    profile, instance, _ = made
    more = profile.model_copy(update={"scenes": profile.scenes.model_copy(update={"num_scenes": 6})})
    graph = build_defs(more).get_repository_def().asset_graph
    found = {key.to_user_string() for key in stale_assets(instance, graph, graph.materializable_asset_keys)}
    assert {"scenes", "imperfect_masks", "edge_maps", "shards", "dataset"} <= found
    assert not found & {"mulan_foregrounds", "openimages_index"}


def test_a_part_made_after_the_whole_makes_it_stale_beyond_a_hundred_parts():
    keys = [f"{i:03d}" for i in range(120)]
    parts = dg.StaticPartitionsDefinition(keys)

    @dg.asset(partitions_def=parts, backfill_policy=dg.BackfillPolicy.single_run())
    def part() -> None: ...

    @dg.asset(deps=[part])
    def whole() -> None: ...

    graph = dg.Definitions([part, whole]).get_repository_def().asset_graph
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([part], instance=instance, tags={RANGE_START: keys[0], RANGE_END: keys[-1]})
        dg.materialize([part, whole], instance=instance, selection=[whole])
        assert stale_assets(instance, graph, {part.key, whole.key}) == []
        dg.materialize([part], instance=instance, partition_key="007")
        assert stale_assets(instance, graph, {part.key, whole.key}) == [whole.key]


def test_weekly_waits_for_a_dataset(tmp_path, instance):
    answer = tick(profile_at(tmp_path), instance, "weekly_retrain")
    assert not answer.run_requests and "no dataset yet" in answer.skip_message


def test_weekly_trains_what_the_data_has_not_taught_yet(made):
    profile, instance, _ = made
    (request,) = tick(profile, instance, "weekly_retrain").run_requests
    assert {"base_model", "rgba_vae", "adapter", "evaluation"} <= names(request) and "dataset" not in names(request)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("nightly_cron", "'at two'", "cron"),
        ("time_zone", "'Mars'", "time zone"),
        ("watch_every_s", "1", r"\[5, 86400\]"),
    ],
)
def test_impossible_times_are_refused(key, value, told):
    with pytest.raises(ValueError, match=told):
        load_profile("demo", "root", {f"automation.{key}": value})


# ---- failures


@contextmanager
def listening(status: int) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """(address, what was posted) of a server that answers with this status."""
    heard = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()


def fail(instance: dg.DagsterInstance, error: BaseException) -> dg.ExecuteInProcessResult:
    @dg.asset
    def broken() -> None:
        raise error

    return dg.materialize([broken.with_hooks({report_failures})], instance=instance, raise_on_error=False)


def lines(instance: dg.DagsterInstance) -> list[dict[str, str]]:
    file = Path(instance.root_directory) / failures.FILE
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_every_asset_tells_of_its_failure():
    assets = build_defs().get_repository_def().assets_defs_by_key.values()
    made = [asset for asset in assets if asset.is_materializable]
    assert made and all(report_failures in asset.hook_defs for asset in made)


def test_a_failure_is_written_down_with_what_the_asset_said(instance):
    result = fail(instance, ValueError("mask.radius_px must be in [0, 64], got -3"))
    (line,) = lines(instance)
    assert not result.success
    assert line["step"] == "broken" and line["run_id"] == result.run_id
    assert line["message"] == "mask.radius_px must be in [0, 64], got -3"


def test_a_failed_check_tells_what_it_found(instance):
    @dg.asset(check_specs=[dg.AssetCheckSpec(name, asset="counted", blocking=name != "pretty") for name in CHECKS])
    def counted() -> dg.MaterializeResult:
        told = ((name, name == "sound") for name in CHECKS)
        results = [dg.AssetCheckResult(check_name=name, passed=passed, description="3 of 4") for name, passed in told]
        return dg.MaterializeResult(check_results=results)

    assert not dg.materialize([counted.with_hooks({report_failures})], instance=instance, raise_on_error=False).success
    (line,) = lines(instance)
    assert line["message"] == "check enough: 3 of 4"


def test_a_cancelled_step_is_no_failure(instance):
    assert not fail(instance, dg.DagsterExecutionInterruptedError()).success
    assert lines(instance) == []


@pytest.mark.parametrize("status", [200, 500])
def test_the_webhook_hears_it_and_its_address_is_not_told(instance, monkeypatch, caplog, status):
    caplog.set_level(logging.DEBUG)
    with listening(status) as (url, heard):
        monkeypatch.setenv(WEBHOOK, f"{url}/hooks/token-of-ours")
        result = fail(instance, ValueError("no shards"))
        ((path, told),) = heard
    assert path == "/hooks/token-of-ours" and told["step"] == "broken"
    assert "broken failed" in told["text"] and "no shards" in told["text"]
    said = "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))
    assert "token-of-ours" not in said + caplog.text + json.dumps(lines(instance))
    assert ("answered with status 500" in said) == (status == 500)


def test_a_webhook_that_answers_byte_by_byte_is_given_up(instance, monkeypatch):
    monkeypatch.setattr(failures, "TIMEOUT_S", 1.0)
    ended = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        while not ended.wait(0.2):
            connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=[server], daemon=True).start()
        monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{server.getsockname()[1]}/secret")
        began_s = time.monotonic()
        result = fail(instance, ValueError("no"))
        ended.set()
    assert time.monotonic() - began_s < 60
    said = "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))
    assert "gave no answer within 1 s" in said and "secret" not in said


def test_a_failure_with_text_that_utf8_cannot_hold_is_reported(instance, monkeypatch):
    with listening(200) as (url, heard):
        monkeypatch.setenv(WEBHOOK, url)
        fail(instance, ValueError("no \udcff.jpg"))
    assert "no \udcff.jpg" in heard[0][1]["text"] and "no \udcff.jpg" in lines(instance)[0]["message"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/secret", "no address", "file:///etc/passwd"])
def test_a_webhook_that_cannot_be_reached_breaks_nothing(instance, monkeypatch, caplog, url):
    monkeypatch.setenv(WEBHOOK, url)
    result = fail(instance, ValueError("no"))
    assert len(lines(instance)) == 1
    kinds = [event.event_type_value for event in result.all_events]
    assert "HOOK_ERRORED" not in kinds and "HOOK_COMPLETED" in kinds
    said = "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))
    assert "could not be reported" in said and url not in said + caplog.text
