"""What a team installs: its files say what they must, its records are in a real Postgres, and its demo cleans up."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets_defs.home import opened_instance
from assets_defs.origin import DEFINITIONS
from decoupage.faults import BadSetup
from deploy.cluster_demo import small
from deploy.cluster_demo.findings import on_several_nodes, same_as_serial
from deploy.cluster_demo.postgres import postgres
from deploy.cluster_demo.processes import Programs, free_port
from pipelines.stages.manifest import Manifest
from profiles.profile import load_profile

CHECKOUT = Path(__file__).parents[1]
DEPLOY = CHECKOUT / "deploy"
COMPOSE = ("compose.yaml", "compose.ray.yaml")
PINS = dict(line.split(" ;")[0].split("==") for line in (CHECKOUT / "constraints.txt").read_text().splitlines())
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|WEBHOOK")
OPTIONAL = ("OPENAI_API_KEY", "HF_TOKEN", "DECOUPAGE_FAILURE_WEBHOOK")


def read(path: Path):
    return yaml.safe_load(path.read_text())


def services() -> dict[str, dict]:
    """All services with what they extend; those of the second file win."""
    first, second = (read(DEPLOY / name)["services"] for name in COMPOSE)
    found = dict(first)
    for name, service in second.items():
        base = first[service["extends"]["service"]] if "extends" in service else first.get(name, {})
        merged = base | service
        merged["environment"] = base.get("environment", {}) | service.get("environment", {})
        found[name] = merged
    return found


# --- settings: one fact in one place ------------------------------------------------------------------------------


def test_the_settings_of_a_team_differ_only_in_where_the_records_are():
    ours, theirs = read(CHECKOUT / "dagster.yaml"), read(DEPLOY / "dagster.postgres.yaml")
    assert theirs.pop("storage")["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"
    assert theirs == ours
    values = read(DEPLOY / "kubernetes" / "dagster-values.yaml")
    assert values["additionalInstanceConfig"] | {"telemetry": values["telemetry"]} == ours


def test_versions_are_those_of_the_constraints():
    values = (DEPLOY / "kubernetes" / "dagster-values.yaml").read_text()
    assert re.findall(r"--version ([\d.]+)", values) == [PINS["dagster"]]
    assert read(DEPLOY / "kubernetes" / "ray-cluster.yaml")["spec"]["rayVersion"] == PINS["ray"]


def test_the_miniature_is_a_valid_profile(monkeypatch):
    for name, value in small.variables().items():
        monkeypatch.setenv(name, value)
    profile = load_profile("demo")
    assert profile.scenes.num_scenes == 12 and profile.training.adapter_config().schedule.num_steps == 3


# --- image --------------------------------------------------------------------------------------------------------


def test_the_image_is_made_of_what_there_is_and_runs_without_root():
    lines = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text()).splitlines()
    instructions = [line.split(maxsplit=1) for line in lines if re.match(r"[A-Z]+ ", line)]
    users = [rest for word, rest in instructions if word == "USER"]
    assert users and users[-1] not in ("0", "root")
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (named,) = (rest.partition("=")[2].split(",") for word, rest in instructions if rest.startswith("EXTRAS="))
    assert set(named) <= set(extras) and {"s3", "postgres", "ray"} <= set(named)
    copied = {
        path for word, rest in instructions if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]
    }
    assert [path for path in copied if not (CHECKOUT / path).exists()] == []
    let_in = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert let_in == copied
    packages = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {path.strip("/") for path in packages["include"]} <= copied
    images = {rest.split()[0] for word, rest in instructions if word == "FROM"}
    assert all(re.fullmatch(r"[a-z]+:[\w.-]+", image) for image in images) and "HEALTHCHECK" in dict(instructions)


# --- compose ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", services())
def test_a_service_is_checked_limited_and_open_to_this_machine_alone(name):
    service = services()[name]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    if service["restart"] == "no":
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped" and service["healthcheck"]["test"][0] == "CMD"
    assert re.fullmatch(r"[a-z/]+:([\w.-]*\d[\w.-]*|\$\{TAG:-local\})", service["image"])


def test_secrets_come_from_outside_and_nothing_starts_without_them():
    asked = set()
    for name, service in services().items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key) and key not in OPTIONAL:
                found = re.fullmatch(r"\$\{(\w+):\?.+\}", value)
                assert found, f"{name}: {key}"
                asked.add(found[1])
    example = dict(line.split("=", 1) for line in (DEPLOY / ".env.example").read_text().splitlines() if "=" in line[1:])
    assert {key for key, value in example.items() if key in asked and not value} == asked
    used = set().union(*(re.findall(r"\$\{(\w+)", (DEPLOY / name).read_text()) for name in COMPOSE))
    assert {key.lstrip("#") for key in example if " " not in key} >= used


def test_the_records_are_found_by_the_variables_that_the_settings_name():
    database = read(DEPLOY / "dagster.postgres.yaml")["storage"]["postgres"]["postgres_db"]
    wanted = {value["env"] for value in database.values() if isinstance(value, dict)}
    for name in ("code", "webserver", "daemon", "tables", "ray-worker"):
        assert wanted <= services()[name]["environment"].keys(), name


def test_the_code_has_one_name_everywhere():
    (server,) = (entry["grpc_server"] for entry in read(DEPLOY / "workspace.yaml")["load_from"])
    assert server == {"host": "code", "port": 4000, "location_name": DEFINITIONS}
    wanted = ["--module-name", DEFINITIONS, "--location-name", DEFINITIONS]
    joined = " ".join(wanted)
    assert joined in services()["code"]["command"][-1].replace("\n", " ")
    assert joined in re.sub(r"[\",]", "", (DEPLOY / "Dockerfile").read_text())
    values = read(DEPLOY / "kubernetes" / "dagster-values.yaml")
    assert values["dagster-user-deployments"]["deployments"][0]["dagsterApiGrpcArgs"] == wanted


# --- Postgres -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Variables of a running server with an empty database."""
    if not (shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))):
        pytest.skip("no PostgreSQL")
    pytest.importorskip("dagster_postgres")
    with postgres(Programs(tmp_path_factory.mktemp("logs"))) as variables:
        yield variables


@pytest.fixture
def home(tmp_path, monkeypatch, database):
    for name, value in database.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").symlink_to(DEPLOY / "dagster.postgres.yaml")
    return tmp_path


OPEN = (
    "import sys; from assets_defs.home import opened_instance\n"
    "with opened_instance() as instance:\n    instance.add_dynamic_partitions('opened', [sys.argv[1]])"
)


def test_programs_on_several_machines_share_the_records(home, tmp_path_factory):
    homes = [home, tmp_path_factory.mktemp("other")]
    shutil.copy(home / "dagster.yaml", homes[1])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, name], env={**os.environ, "DAGSTER_HOME": str(at)}, stderr=subprocess.PIPE
        )
        for name, at in zip(("ui", "daemon"), homes, strict=True)
    ]
    told = [process.communicate(timeout=180)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    with opened_instance() as instance:
        assert set(instance.get_dynamic_partitions("opened")) == {"ui", "daemon"}
        assert instance.run_monitoring_enabled and instance.get_concurrency_config().pool_config.default_pool_limit == 1
    assert {path.name for path in home.iterdir()} == {"dagster.yaml", "open.lock"}  # No SQLite.


def test_a_run_and_its_events_are_in_postgres(home):
    @dg.asset
    def made() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"num": 3})

    with opened_instance() as instance:
        run = dg.materialize([made], instance=instance).dagster_run
    with opened_instance() as another:
        assert another.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.SUCCESS
        event = another.get_latest_materialization_event(dg.AssetKey("made"))
        assert event.asset_materialization.metadata["num"].value == 3


def test_a_missing_password_is_told_before_anything_is_asked(home, monkeypatch):
    monkeypatch.delenv("DAGSTER_POSTGRES_PASSWORD")
    with pytest.raises(BadSetup, match="takes DAGSTER_POSTGRES_PASSWORD from the environment"), opened_instance():
        pass


def test_a_wrong_password_and_an_absent_server_are_told_without_the_password(home, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)  # It tries six times.
    monkeypatch.setenv("DAGSTER_POSTGRES_PASSWORD", "hunter2")
    with pytest.raises(BadSetup, match="password authentication failed") as wrong, opened_instance():
        pass
    monkeypatch.setenv("DAGSTER_POSTGRES_PORT", str(free_port()))
    with pytest.raises(BadSetup, match=r"Connection refused.*correct DAGSTER_POSTGRES_") as absent, opened_instance():
        pass
    assert "hunter2" not in f"{wrong.value}{absent.value}"


# --- the demo of it -----------------------------------------------------------------------------------------------

LOST = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\nos._exit(0)"


def test_what_a_program_lost_is_found_and_ended(tmp_path):
    programs, others = Programs(tmp_path), Programs(tmp_path)
    with programs.running("lost", [sys.executable, "-c", LOST], os.environ) as process:
        process.wait(30)
        deadline_s = time.monotonic() + 30
        while not programs.alive() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        (line,) = programs.alive().values()
    assert "os.setsid()" in line and others.alive() == {}
    others.end_all()
    assert programs.alive()
    assert programs.end_all() == {} and programs.alive() == {}


def test_a_program_that_does_not_start_is_told_with_what_it_said(tmp_path):
    programs = Programs(tmp_path)
    line = [sys.executable, "-c", "print('no room'); raise SystemExit(3)"]
    told = pytest.raises(BadSetup, match=r"store ended with status 3; .*store\.log says:\nno room")
    with programs.running("store", line, os.environ) as process, told:
        programs.wait("store", process, lambda: False, 30)


def test_a_program_that_does_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("deploy.cluster_demo.processes.END_S", 0.2)
    ignores = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    )
    programs = Programs(tmp_path)
    with programs.running("stubborn", [sys.executable, "-c", ignores], os.environ) as process:
        programs.wait("stubborn", process, lambda: "on" in programs.log("stubborn").read_text(), 30)
    assert process.returncode == -signal.SIGKILL


def test_nodes_are_counted_by_the_log_of_the_store(tmp_path):
    programs = Programs(tmp_path)
    made = [
        "ray-node-0 PUT /decoupage/demo/scenes/00000.json 200",
        "ray-node-1 PUT /decoupage/demo/scenes/00001.json 200",
    ]
    other = [
        "driver PUT /decoupage/demo/scenes/recipe.json 200",
        "ray-node-1 GET /decoupage/demo/scenes/00000.json 200",
    ]
    programs.log("s3").write_text("\n".join([*other, made[0]]))
    assert not on_several_nodes(programs).holds
    programs.log("s3").write_text("\n".join([*other, *made]))
    assert on_several_nodes(programs).sentence == "shards made by node: ray-node-0 1; ray-node-1 1"


def write_root(folder: Path, last: str) -> str:
    """A root with two shards of training, the second one with this hash; returns its path."""
    made = {"stage": "shards", "fingerprint": "f", "inputs": {}, "num_items": 1, "num_rows": 1, "num_bytes": 1}
    (folder / "shards").mkdir(parents=True)
    (folder / "shards" / "recipe.json").write_text('{"fingerprint": "f"}')
    for shard, sha256 in (("00000", "a"), ("00001", last)):
        manifest = Manifest(shard=shard, tar_sha256=sha256, parquet_sha256="b", members=[], **made)
        (folder / "shards" / f"{shard}.json").write_bytes(manifest.to_json())
    return str(folder)


def test_one_shard_with_another_hash_is_named(tmp_path):
    local = Path(write_root(tmp_path / "local", "c"))
    same, other = write_root(tmp_path / "same", "c"), write_root(tmp_path / "other", "d")
    assert same_as_serial(same, [local], os.environ).holds
    found = same_as_serial(other, [local], os.environ)
    assert not found.holds and found.sentence.startswith("1 of 2 shards") and "not shards/00001.json" in found.sentence
