"""A machine is looked at before a run starts; what is not enough is said in a sentence that mends it."""

from pathlib import Path

import pytest
import torch

from decoupage.adapter import adapt, make_fusion, trainable
from decoupage.bases.small import SmallFill
from decoupage.faults import BadSetup
from training import network, preflight
from training.config import OptimiserConfig, OutputConfig, RunConfig, with_changes
from training.preflight import check_machine, checkpoints_gb, what_would_fit
from training.recipes import demo, find_recipe, paper, small_gpu

EAGER = with_changes(paper(), {"compute.compile": False})
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(network, "find_spec", lambda name: True)  # Triton, which torch for CPUs does not bring.


def refused(config, device, num_processes=1, **options):
    with pytest.raises(BadSetup) as caught:
        check_machine(config, device, num_processes, Path("/nowhere/run"), **({"disk_gb": 1000.0} | options))
    return str(caught.value)


def test_the_demo_runs_here(tmp_path):
    check_machine(demo(), CPU, 1, tmp_path / "not" / "there")


def test_a_gpu_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch finds none" in refused(paper(), GPU)


def test_a_setting_without_a_cpu_form_is_named_with_what_to_set_instead():
    assert refused(small_gpu(), CPU) == (
        "compute.base_quantisation = nf4 and optimiser.name = adamw8bit need a GPU, and this run is on the CPU: set "
        "compute.base_quantisation = none and optimiser.name = adamw, or use the recipe demo, which trains a small "
        "base on a CPU"
    )
    assert refused(with_changes(demo(), {"optimiser.name": "adamw8bit"}), CPU).startswith(
        "optimiser.name = adamw8bit needs a GPU"
    )


@pytest.mark.usefixtures("gpu")
def test_too_little_memory_is_said_with_what_would_fit():
    message = refused(EAGER, GPU, memory_gb=90.0)
    assert "the run needs about 123 GB (an estimate: base 23.8" in message
    assert message.splitlines()[0].endswith("90 GB are free on the GPU;")
    assert message.splitlines()[1:] == [
        "  with compute.checkpoint_every_blocks = 3 and compute.compile = true it needs about 89 GB"
    ]
    assert refused(EAGER, GPU, memory_gb=8.0).endswith("8 GB are free on the GPU; no setting makes it fit")


@pytest.mark.usefixtures("gpu")
def test_several_processes_are_counted_and_offered_to_share():
    message = refused(EAGER, GPU, num_processes=8, memory_gb=79.0)
    assert "about 127 GB" in message and "exchange 4.3" in message and "in each of 8 processes" in message
    shared, whole = message.splitlines()[1:]
    assert shared == "  with compute.compile = true and compute.sharded = true it needs about 68 GB"
    assert "sharded" not in whole


@pytest.mark.usefixtures("gpu")
def test_what_is_suggested_is_then_let_through(tmp_path):
    config = with_changes(EAGER, {"compute.checkpoint_every_blocks": 3, "compute.compile": True})
    check_machine(config, GPU, 1, tmp_path, memory_gb=90.0, disk_gb=1000.0)
    config = with_changes(EAGER, {"compute.compile": True, "compute.sharded": True})
    check_machine(config, GPU, 8, tmp_path, memory_gb=79.0, disk_gb=1000.0)


@pytest.mark.usefixtures("gpu")
def test_the_rgba_vae_has_its_memory_checked():
    message = refused(find_recipe("rgba_vae"), GPU, memory_gb=23.0)
    assert "base 0.4, trained 0.3" in message
    assert "with compute.checkpoint_every_blocks = 1 it needs about" in message


def test_what_is_named_after_a_run_was_out_of_memory_lies_well_below_it():
    told = what_would_fit(EAGER, GPU, memory_gb=141.0)
    assert told == ("the run was estimated at 123 GB; with compute.compile = true it needs about 106 GB")
    compiled = with_changes(EAGER, {"compute.compile": True})
    assert "compute.checkpoint_every_blocks = 4 it needs about 93 GB" in what_would_fit(compiled, GPU, memory_gb=141.0)
    # The card is smaller than the estimate.
    assert "compute.checkpoint_every_blocks = 1 and" in what_would_fit(EAGER, GPU, memory_gb=80.0)
    assert "compute.sharded = true" in what_would_fit(EAGER, GPU, num_processes=8, memory_gb=80.0)
    assert what_would_fit(small_gpu(), GPU, memory_gb=8.0).endswith("no setting brings it well below that")
    assert what_would_fit(find_recipe("small_base"), CPU) == ""


def test_a_large_base_on_a_cpu_is_pointed_to_a_gpu():
    message = refused(paper(), CPU, memory_gb=24.0)
    assert "24 GB is this machine's memory; no setting makes it fit; use a GPU, or the recipe demo" in message


def test_a_batch_that_does_not_divide_over_the_processes_is_refused():
    message = refused(demo(), CPU, num_processes=2)
    assert "multiple of the number of processes (2), got 1" in message
    check_machine(paper(), CPU, 8, Path(), memory_gb=1000.0, disk_gb=1000.0)


def test_room_for_checkpoints_is_asked_for():
    message = refused(demo(), CPU, disk_gb=0.001)
    assert "0.0 GB are free at /nowhere/run" in message and "output.keep_last (now 3)" in message


@pytest.mark.usefixtures("gpu")
def test_the_papers_checkpoints_take_some_80_gb():
    message = refused(paper(), GPU, memory_gb=140.0, disk_gb=50.0)
    assert "checkpoints take up to 85.2 GB, 50.0 GB are free" in message


def test_a_checkpoint_holds_weights_averages_and_two_moments():
    config = RunConfig(output=OutputConfig(keep_last=1))
    assert checkpoints_gb(config, 1_000_000) == pytest.approx(3 * 16e-3)
    assert checkpoints_gb(config.model_copy(update={"ema_decay": 0.0}), 1_000_000) == pytest.approx(3 * 12e-3)
    small = config.model_copy(update={"optimiser": OptimiserConfig(name="adamw8bit")})
    assert checkpoints_gb(small, 1_000_000) == pytest.approx(3 * 10e-3)


def test_what_is_counted_is_what_is_trained(tmp_path):
    base, adapter = SmallFill(), demo().adapter_config()
    network = base.load()["transformer"]
    adapt(network, base, adapter)
    modules = [*trainable(network), *make_fusion(base, adapter).parameters()]
    needed = checkpoints_gb(demo(), sum(parameter.numel() for parameter in modules))
    check_machine(demo(), CPU, 1, tmp_path, disk_gb=needed)
    with pytest.raises(BadSetup, match="checkpoints take up to"):
        check_machine(demo(), CPU, 1, tmp_path, disk_gb=needed * 0.99)


@pytest.mark.parametrize(("recipe", "needed_gb"), [("rgba_vae", 6.9), ("small_base", 0.46)])
def test_other_runs_have_their_disk_checked(recipe, needed_gb, tmp_path):
    config = find_recipe(recipe)
    check_machine(config, CPU, 1, tmp_path, memory_gb=64.0, disk_gb=1.02 * needed_gb)
    with pytest.raises(BadSetup, match="checkpoints take up to"):
        check_machine(config, CPU, 1, tmp_path, memory_gb=64.0, disk_gb=0.9 * needed_gb)


def test_memory_and_disk_are_asked_for_where_they_are_not_given(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "free_gb", lambda device: 0.5)
    with pytest.raises(BadSetup, match=r"0\.5 GB is this machine's memory"):
        check_machine(demo(), CPU, 1, tmp_path)


@pytest.mark.usefixtures("gpu")
def test_what_compiling_lacks_is_said_before_weights_are_loaded(monkeypatch):
    monkeypatch.setattr(network.shutil, "which", lambda name: None)
    monkeypatch.setattr(network, "find_spec", lambda name: None)
    message = refused(paper(), GPU, memory_gb=200.0)
    assert message.startswith("compute.compile = true needs a C++ compiler (such as g++) and Triton: install it")
    check_machine(EAGER, GPU, 1, Path(), memory_gb=200.0, disk_gb=1000.0)
