"""The loop keeps its promises whatever it trains: a line through points stands for the models."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from decoupage.faults import BadSetup
from tests.training.toy_task import ToyTask, toy_config
from training.checkpoint_files import read_progress
from training.checkpoints import Checkpoints
from training.journal import read_metrics
from training.loop import Diverged, Outcome, export, fit, make_accelerator

ROOT = Path(__file__).parents[2]


def train_toy(folder: Path, task: ToyTask | None = None, **options) -> tuple[Outcome, ToyTask]:
    task = task or ToyTask(toy_config())
    return fit(task, make_accelerator(task.config, "cpu"), folder, **options), task


def weights(outcome: Outcome) -> dict[str, torch.Tensor]:
    return load_file(outcome.checkpoint / "line.safetensors")


def assert_same(first: Outcome, second: Outcome) -> None:
    for name, tensor in weights(first).items():
        assert torch.equal(tensor, weights(second)[name]), name
    ours, theirs = (torch.load(each.checkpoint / "line.optimiser.pt", weights_only=True) for each in (first, second))
    assert same(ours, theirs)
    assert same(*(load_file(each.checkpoint / "averaged.safetensors") for each in (first, second)))


def same(ours, theirs) -> bool:
    """Bit for bit; a saved tuple comes back as a list."""
    if isinstance(ours, dict):
        return set(ours) == set(theirs) and all(same(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs


def test_a_run_learns_and_tells_of_it(tmp_path):
    outcome, task = train_toy(tmp_path, ToyTask(toy_config(60)))
    lines = read_metrics(tmp_path)
    first, last = (np.mean([line["line.loss"] for line in part]) for part in (lines[:10], lines[-10:]))
    assert outcome.status == "done"
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert last < 0.5 * first
    assert lines[-1]["line.twice"] == pytest.approx(2 * lines[-1]["line.loss"])
    assert not any("none" in name for name in lines[0])
    assert {"samples_per_s", "step_s", "loader_wait_s", "line.grad_norm", "line.learning_rate"} <= set(lines[0])
    assert [line["step"] for line in lines if "validation_loss" in line] == list(range(3, 61, 3))
    assert len(list((tmp_path / "samples").glob("*.png"))) == 15
    assert np.asarray(Image.open(tmp_path / "samples" / "000004.png")).shape == (8, 8, 3)
    assert list((tmp_path / "tensorboard").iterdir())
    assert outcome.progress.position == 60 * task.config.batch.size


def test_only_trained_parameters_are_kept(tmp_path):
    outcome, _ = train_toy(tmp_path)
    assert set(weights(outcome)) == {"0.weight", "0.bias", "2.weight"}


def test_the_export_holds_averaged_weights(tmp_path):
    outcome, task = train_toy(tmp_path)
    exported = torch.load(export(task, outcome, make_accelerator(task.config, "cpu"), tmp_path) / "line.pt")
    averages = load_file(outcome.checkpoint / "averaged.safetensors")
    assert torch.equal(exported["0.weight"], averages["0.weight"])
    assert not torch.equal(exported["0.weight"], weights(outcome)["0.weight"])


@pytest.mark.parametrize("position", [1, 4, 9, 22, 40])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(tmp_path, position):
    whole, _ = train_toy(tmp_path / "whole")
    task = ToyTask(toy_config())
    task.leave_at = position
    first, _ = train_toy(tmp_path / "halved", task)
    assert first.status == "interrupted"
    assert first.progress.step < 12
    assert read_progress(first.checkpoint).step == first.progress.step
    second, _ = train_toy(tmp_path / "halved", resume=True)
    assert_same(whole, second)
    assert [line["step"] for line in read_metrics(tmp_path / "halved")] == list(range(1, 13))
    losses = [[line["line.loss"] for line in read_metrics(tmp_path / name)] for name in ("whole", "halved")]
    assert losses[0] == losses[1]


@pytest.mark.faults
def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path):
    whole, _ = train_toy(tmp_path / "whole", ToyTask(toy_config(400)))
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.training.toy_task", str(folder), "400", "--resume"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    least = random.Random(time.time_ns()).randrange(5, 300)
    while len(read_metrics(folder)) < least and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert len(read_metrics(folder)) >= least
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    last = Checkpoints(folder / "checkpoints", 2).latest()
    assert last is not None
    assert_same(whole, Outcome("done", read_progress(last), last))


def test_two_processes_learn_the_same_as_one(tmp_path):
    """Sums are in another order: 1e-6 of float32 arithmetic."""
    one, _ = train_toy(tmp_path / "one")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
        *("-m", "tests.training.toy_task", str(tmp_path / "two"), "12"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [[line["line.loss"] for line in read_metrics(tmp_path / name)] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    last = Checkpoints(tmp_path / "two" / "checkpoints", 2).latest()
    assert last is not None
    assert {path.name for path in last.glob("random-*")} == {"random-0.pt", "random-1.pt"}
    for name, tensor in load_file(last / "line.safetensors").items():
        torch.testing.assert_close(tensor, weights(one)[name], rtol=1e-4, atol=1e-6)
    assert (tmp_path / "two" / "export" / "line.pt").is_file()


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    train_toy(tmp_path)
    with pytest.raises(BadSetup, match="--resume"):
        train_toy(tmp_path)


def test_a_finished_run_does_nothing_more(tmp_path):
    first, _ = train_toy(tmp_path)
    before = first.checkpoint.stat().st_mtime_ns
    again, _ = train_toy(tmp_path, resume=True)
    assert again.status == "done"
    assert again.checkpoint.stat().st_mtime_ns == before


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    task = ToyTask(toy_config())
    task.leave_at = 20
    train_toy(tmp_path, task)
    other = ToyTask(toy_config(), identity={"recipe": task.identity["recipe"], "data": "other points"})
    with pytest.raises(BadSetup, match=r"data points \(now other points\).*--warm-start"):
        train_toy(tmp_path, other, resume=True)


def test_a_warm_start_takes_weights_only_and_says_so(tmp_path, caplog):
    first, _ = train_toy(tmp_path / "first")
    other = ToyTask(toy_config(12, seed=5), identity={"data": "other points"})
    with caplog.at_level("WARNING"):
        train_toy(tmp_path / "second", other, warm_start=first.checkpoint)
    assert "warm start" in caplog.text
    lines = read_metrics(tmp_path / "second")
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert lines[0]["line.loss"] < read_metrics(tmp_path / "first")[0]["line.loss"]


def test_what_is_not_finite_stops_the_run_and_keeps_the_state_before(tmp_path):
    task = ToyTask(toy_config())
    task.nan_at = 7
    with pytest.raises(Diverged, match=r"step 8: line\.loss = nan.*state before it is in"):
        train_toy(tmp_path, task)
    assert Checkpoints(tmp_path / "checkpoints", 2).steps()[-1] == 7
    whole, _ = train_toy(tmp_path / "whole")
    mended, _ = train_toy(tmp_path, resume=True)
    assert_same(whole, mended)


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path):
    outcome, _ = train_toy(tmp_path, ToyTask(toy_config(30)))
    steps = Checkpoints(tmp_path / "checkpoints", 2).steps()
    judged = {line["step"]: line["validation_loss"] for line in read_metrics(tmp_path) if "validation_loss" in line}
    best = min(judged, key=judged.__getitem__)
    assert set(steps) == {27, 30, best}
    assert (outcome.progress.best_step, outcome.progress.best_loss) == (best, pytest.approx(judged[best]))


def test_half_a_checkpoint_is_never_taken_for_one(tmp_path):
    train_toy(tmp_path)
    partial = tmp_path / "checkpoints" / ".0000099.partial"
    partial.mkdir()
    (partial / "state.json").write_text(json.dumps({"step": 99}))
    again, _ = train_toy(tmp_path, resume=True)
    assert again.progress.step == 12


def test_a_damaged_checkpoint_is_named(tmp_path):
    task = ToyTask(toy_config())
    task.leave_at = 20
    outcome, _ = train_toy(tmp_path, task)
    (outcome.checkpoint / "line.optimiser.pt").write_bytes(b"no")
    with pytest.raises(Exception, match=r"checkpoint .* cannot be loaded"):
        train_toy(tmp_path, resume=True)


def test_a_batch_must_divide_over_the_processes():
    with pytest.raises(ValueError, match=r"batch\.accumulation must be a multiple of the number of processes \(3\)"):
        toy_config().batch.accumulation_for(3)
