"""Training on a Ray cluster: what is checked first; two workers, one of them lost, a stop, and one process's result."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from decoupage.faults import BadSetup
from pipelines.stages.ray_cluster import Node
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder
from pipelines.synthetic import FakeScenes, build_dataset
from tests.assets_defs.small import make_base
from tests.object_store import S3Server
from training import on_ray
from training.facts import facts_of
from training.journal import METRICS, read_metrics
from training.launcher import write_plan
from training.run import RunPlan, train_current

ROOT = Path(__file__).parents[2]
STEPS = 24
CHANGES = {
    "schedule.num_steps": STEPS,
    "schedule.warmup_steps": 1,
    "batch.micro_batch": 2,
    "batch.accumulation": 2,
    "data.num_validation": 2,
    "data.validation_share": 0.3,
    "data.size_px": 32,
    "compute.loader_workers": 0,
    "optimiser.learning_rate": 1e-4,
    "output.save_every_steps": 3,
    "output.sample_every_steps": 0,
}


@pytest.mark.parametrize(
    ("plan", "nodes", "said"),
    [
        ({"device": "cuda"}, [(8, 1.0)], "asks for 2 GPUs .* the Ray cluster has 1"),
        (
            {"device": "auto"},
            [(1, 0.0)],
            "training.num_processes = 2 asks for as many cores, and the Ray cluster has 1",
        ),
        ({"device": "cpu"}, [(1, 0.0), (1, 0.0)], "Ray's machine 1: it has code f00"),
    ],
)
def test_what_the_cluster_lacks_is_said_before_work_starts(monkeypatch, plan, nodes, said):
    cluster = [Node(str(i), str(i), cpus, gpus) for i, (cpus, gpus) in enumerate(nodes)]
    monkeypatch.setattr(on_ray, "ask", lambda nodes, look: [(nodes[0], ""), (nodes[1], "it has code f00")])
    with pytest.raises(BadSetup, match=said):
        on_ray._checked(RunPlan("demo", Path("out"), **plan), cluster, 2)


@pytest.mark.parametrize(
    ("device", "num_gpus", "use_gpu"),
    [("auto", 2.0, True), ("auto", 1.0, False), ("cpu", 2.0, False), ("cuda", 2.0, True)],
)
def test_workers_get_a_gpu_each_or_none(monkeypatch, device, num_gpus, use_gpu):
    monkeypatch.setattr(on_ray, "ask", lambda nodes, look: [(node, "") for node in nodes])
    assert on_ray._checked(RunPlan("demo", Path("out"), device=device), [Node("a", "a", 2, num_gpus)], 2) is use_gpu


def test_another_version_of_the_code_is_named():
    assert on_ray._fault_of_code(on_ray._code()) == ""
    assert "it has code" in on_ray._fault_of_code("f00") and "has f00: install" in on_ray._fault_of_code("f00")


def test_folders_are_named_absolutely_and_addresses_and_hub_ids_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vae").mkdir()
    plan = RunPlan("demo", Path("out"), ("data", "s3://bucket/shards"), "owner/name", "vae")
    found = on_ray._absolute(plan)
    assert found.out == tmp_path / "out" and found.data == (str(tmp_path / "data"), "s3://bucket/shards")
    assert (found.base, found.rgba_vae) == ("owner/name", str(tmp_path / "vae"))


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_extra_is_named():
    with pytest.raises(BadSetup, match=r"not installed; in a checkout .*'\.\[ray\]'"):
        on_ray.train_on_ray(RunPlan("demo", Path("out")), 2)


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_an_address_where_nothing_answers_is_named(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(BadSetup, match=r"127\.0\.0\.1:9"):
        on_ray.train_on_ray(RunPlan("demo", Path("out")), 2)


# ---- on a cluster


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the cluster's machines keep their copies, and this process its own."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def address(cache: str) -> Iterator[str]:
    """Of a cluster of two machines with a core each."""
    from tests.ray_nodes import cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECOUPAGE_CACHE", cache)
        with cluster(1, 1) as made:
            yield made.address


@pytest.fixture
def _cached_there(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DECOUPAGE_CACHE", cache)


@pytest.fixture(scope="module")
def plan(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    """A run of two processes, with its data and its folder in an object store."""
    folder, store = tmp_path_factory.mktemp("on_ray"), Store(f"{s3.bucket()}/root")
    build_dataset(folder / "data", FakeScenes(num_scenes=12, scenes_per_shard=4))
    for path in (folder / "data" / "shards").iterdir():
        store.write(f"shards/{path.name}", path.read_bytes())
    base = str(make_base(folder / "base"))
    home = WorkingFolder(store, "training/rgba_vae")
    return RunPlan(
        "small_rgba_vae",
        home.path,
        (store.url("shards"),),
        base,
        changes=CHANGES,
        device="cpu",
        num_processes=2,
        home=home,
    )


def start(plan: RunPlan, address: str, folder: Path) -> "subprocess.Popen[str]":
    """The process that a training asset starts."""
    written = write_plan(plan, folder / "plan.json")
    line = [sys.executable, "-m", "assets_defs.training_process", str(written), "--ray", "2"]
    variables = {**os.environ, "RAY_ADDRESS": address, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(line, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True)


def wait_for(met: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline_s = time.monotonic() + 240
    while not met():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def workers() -> list[int]:
    """Processes of Ray Train's workers that belong to this process's cluster."""
    own = f"RAY_TMPDIR={os.environ['RAY_TMPDIR']}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::RayTrainWorker") and own in (
                folder / "environ"
            ).read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return sorted(found)


@pytest.mark.faults
@pytest.mark.usefixtures("_cached_there")
def test_two_workers_of_which_one_is_lost_and_that_are_stopped_end_as_one_process(plan, address, tmp_path):
    plan = replace(plan, out=plan.home.path)
    process = start(plan, address, tmp_path)

    def num_steps() -> int:
        return sum(len(read_metrics(file.parent)) for file in plan.out.glob(f"runs/*/{METRICS}"))

    wait_for(lambda: num_steps() >= 4, process)
    os.kill(workers()[-1], signal.SIGKILL)
    at = num_steps()
    wait_for(lambda: num_steps() >= at + 3, process)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130, said
    assert "a worker was lost" in said and "SIGINT: saving a checkpoint" in said
    assert num_steps() < STEPS
    second = start(plan, address, tmp_path)
    said = second.communicate()[1]
    assert second.returncode == 0, said
    assert "continuing from" in said and f"step {STEPS} of {STEPS}" in said

    alone = replace(plan, out=tmp_path / "alone", home=None, num_processes=1)
    facts = facts_of(alone, train_current(alone))
    (ours,) = {path.split("/")[0] for path in plan.home.store.tree(f"{plan.home.folder}/runs")}
    assert ours == Path(facts["folder"]).name  # The same identity.
    theirs = load_file(Path(facts["checkpoint"]) / "averaged.safetensors")
    copy = WorkingFolder(plan.home.store, f"{plan.home.folder}/runs/{ours}")
    copy.fetch(f"checkpoints/{STEPS:07d}", METRICS)
    found = load_file(copy.path / "checkpoints" / f"{STEPS:07d}" / "averaged.safetensors")
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-5)
    losses = [[line["vae.loss"] for line in read_metrics(folder)] for folder in (copy.path, Path(facts["folder"]))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and len(losses[0]) == STEPS
    assert json.loads(plan.home.store.read(f"{plan.home.folder}/export.json")) == facts["identity"]


@pytest.mark.faults
@pytest.mark.usefixtures("_cached_there")
def test_what_a_worker_finds_wrong_arrives_as_its_sentence_and_is_not_repeated(plan, address, tmp_path):
    process = start(replace(plan, base=str(tmp_path / "nowhere")), address, tmp_path)
    said = process.communicate()[1]
    assert process.returncode == 2 and "a worker was lost" not in said
    assert f"{tmp_path / 'nowhere'}" in said.splitlines()[-1] and "Traceback" not in said
