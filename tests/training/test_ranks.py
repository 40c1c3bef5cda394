"""A run on one process, on several, sharded or not: the same weights, whatever it was killed on and goes on with."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.toy_task import run
from tests.warm.python import PYTHON
from training.checkpoint_files import read_progress
from training.checkpoints import Checkpoints
from training.journal import read_metrics

ROOT = Path(__file__).parents[2]
KILLED_AT = 8
"""Steps that a killed run made; its newest checkpoint is after six."""
ENOUGH = 4
"""Micro-batches of a step: up to four processes may share it."""


def on_ranks(number: int, script: Path, *runs: dict, **ending: object) -> subprocess.CompletedProcess[str]:
    """Runs, one after another, in one group of gloo processes on the CPU."""
    listed = [{"accumulation": ENOUGH, **one, "folder": str(one["folder"])} for one in runs]
    script.write_text(json.dumps({"runs": listed, **ending}))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(number)]
    line = [PYTHON, *torchrun, "-m", "tests.training.toy_task", "ranks", str(script)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def state(folder: Path) -> dict[str, torch.Tensor]:
    """Weights, averages and moments of a run's last checkpoint, and what it exported, by name."""
    last = Checkpoints(folder / "checkpoints", 2).latest()
    assert last is not None and read_progress(last).step == 12
    tensors = {}
    for file in ("line.safetensors", "other.safetensors", "averaged.safetensors"):
        tensors |= {f"{file} {name}": tensor for name, tensor in load_file(last / file).items()}
    for module in ("line", "other"):
        moments = torch.load(last / f"{module}.optimiser.pt", weights_only=True)["optimiser"]["state"]
        tensors |= {
            f"{module} {name} {key}": m[key] for name, m in moments.items() for key in ("exp_avg", "exp_avg_sq")
        }
    exported = torch.load(folder / "export" / "line.pt", weights_only=True)
    return tensors | {f"export {name}": tensor for name, tensor in exported.items()}


def assert_close(folder: Path, to: Path) -> None:
    """1e-5 relative: sums over samples are in another order, and each step starts from the last one's rounding."""
    ours, theirs = state(folder), state(to)
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        torch.testing.assert_close(
            tensor, theirs[name], rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
    losses = [[line["line.loss"] for line in read_metrics(each)] for each in (folder, to)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(losses[0]) == 12


def assert_same(folder: Path, to: Path) -> None:
    ours, theirs = state(folder), state(to)
    assert set(ours) == set(theirs)
    assert [name for name, tensor in ours.items() if not torch.equal(tensor, theirs[name])] == []


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole runs `1`, `2`, `2s` (s = sharded), and runs that were killed and went on with other processes."""
    root = tmp_path_factory.mktemp("ranks")

    def killed(name: str, **more: object) -> dict:
        return {"folder": root / name, "kill_at": KILLED_AT, **more}

    run(root / "1", accumulation=ENOUGH)
    for name in ("1-1", "1-2", "1-2s"):
        run(root / name, kill_at=KILLED_AT, accumulation=ENOUGH)
    begun = on_ranks(
        2,
        root / "begun",
        *({"folder": root / "2"}, {"folder": root / "2s", "sharded": True}),
        *(killed("2s-2s", sharded=True), killed("2s-1", sharded=True), killed("2s-2", sharded=True), killed("2-2s")),
        *(killed("2-1"), killed("2-4"), killed("2s-4s", sharded=True), killed("2-2")),
        killed_rank=1,
    )
    assert f"exitcode  : {-signal.SIGKILL}" in begun.stderr, begun.stderr[-3000:]
    for name in ("1-1", "2-1", "2s-1"):
        run(root / name, accumulation=ENOUGH)
    gone_on = on_ranks(
        2,
        root / "gone_on",
        *({"folder": root / name} for name in ("2-2", "1-2", "2s-2")),
        *({"folder": root / name, "sharded": True} for name in ("1-2s", "2-2s", "2s-2s")),
        without_memory=str(root / "without_memory"),
    )
    (root / "gone_on.stderr").write_text(gone_on.stderr)
    return root


def test_two_processes_learn_the_same_as_one(runs: Path):
    assert_close(runs / "2", to=runs / "1")
    assert_close(runs / "2s", to=runs / "1")
    random_files = {path.name for path in (runs / "2" / "checkpoints" / "0000012").glob("random-*")}
    assert random_files == {"random-0.pt", "random-1.pt"}


@pytest.mark.parametrize(("name", "whole"), [("1-1", "1"), ("2-2", "2"), ("2s-2s", "2s")])
def test_a_killed_run_goes_on_to_the_same_bits_on_as_many_processes(runs: Path, name: str, whole: str):
    assert_same(runs / name, to=runs / whole)


@pytest.mark.parametrize("name", ["1-2", "2-1", "1-2s", "2s-1", "2-2s", "2s-2"])
def test_a_killed_run_goes_on_on_other_processes(runs: Path, name: str):
    assert_close(runs / name, to=runs / "1")


@pytest.mark.slow
def test_a_killed_run_goes_on_on_more_processes(runs: Path):
    done = on_ranks(4, runs / "four", {"folder": runs / "2-4"}, {"folder": runs / "2s-4s", "sharded": True})
    assert done.returncode == 0, done.stderr[-3000:]
    assert_close(runs / "2-4", to=runs / "1")
    assert_close(runs / "2s-4s", to=runs / "1")


def test_sharded_processes_hold_a_part_of_the_weights_each(runs: Path):
    own = [json.loads((runs / f"gone_on-{rank}.json").read_text())["own_numbers"] for rank in (0, 1)]
    # 4x8 + 8 + 8 (shift) and 8 + 1 + 1 of `line`, 4 + 1 + 1 of `other`; a row cannot be cut, so rank 0 has more.
    assert sum(own) == 64 and own == [40, 24]


def test_a_rank_out_of_memory_ends_all_and_names_the_last_checkpoint(runs: Path):
    said = (runs / "gone_on.stderr").read_text()
    assert "out of memory after step 7 (CUDA out of memory); the last checkpoint is " in said
    assert Checkpoints(runs / "without_memory" / "checkpoints", 2).steps() == [3, 6]
