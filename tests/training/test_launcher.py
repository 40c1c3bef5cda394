"""How training processes are started: the command, its environment, and the plan that travels."""

import sys
from dataclasses import replace

import pytest

from decoupage.faults import BadSetup
from pipelines.config import MaskErrorConfig, MasksConfig
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder
from training.launcher import command, environment, read_plan, write_plan
from training.run import RunPlan


def test_a_plan_comes_back_as_it_was(tmp_path):
    masks = MasksConfig(box=MaskErrorConfig(weight=0.5, reach_px=(2, 9)))
    plan = RunPlan("demo", tmp_path / "out", ("a", "b"), "base", "vae", masks, {"schedule.num_steps": 3, "seed": 4})
    assert read_plan(str(write_plan(plan, tmp_path / "there" / "plan.json"))) == plan
    elsewhere = replace(plan, home=WorkingFolder(Store("s3://bucket/root"), "training/adapter"))
    assert read_plan(str(write_plan(elsewhere, tmp_path / "plan.json"))) == elsewhere


def test_a_plan_is_read_from_an_object_store(tmp_path):
    plan = RunPlan("demo", tmp_path)
    Store("memory://plans/a").write("plan.json", write_plan(plan, tmp_path / "plan.json").read_bytes())
    assert read_plan("memory://plans/a/plan.json") == plan


def test_a_damaged_plan_is_a_wrong_setup(tmp_path):
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(BadSetup, match="holds no plan"):
        read_plan(str(tmp_path / "plan.json"))


def test_one_process_is_plain_python_and_several_go_through_a_launcher():
    assert command("m", ["p"], 1, "auto") == [sys.executable, "-m", "m", "p"]
    on_gpus = command("m", ["p"], 8, "auto")
    assert "accelerate.commands.launch" in on_gpus and on_gpus[-3:] == ["-m", "m", "p"] and "8" in on_gpus
    assert "torch.distributed.run" in command("m", ["p"], 2, "cpu")


def test_a_cpu_gets_one_thread_unless_a_person_said_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert environment("cpu") == {"OMP_NUM_THREADS": "1"} and environment("auto") == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert environment("cpu") == {}
