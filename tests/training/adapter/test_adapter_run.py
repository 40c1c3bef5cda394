"""Whole runs of an adapter: interrupted, killed, on two processes, and what they export."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from decoupage.pipeline import LayerDecompositionPipeline
from tests.training.adapter.adapter_runs import (
    Place64,
    command,
    decoupage,
    last,
    lay_out,
    make_task,
    pipeline_of,
    tiny_form,
)
from training.adapter.task import AdapterTask
from training.data import TripletBatch
from training.journal import read_metrics
from training.loop import Outcome, export, fit, make_accelerator

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place64:
    return lay_out(tmp_path_factory.mktemp("adapter_run"))


def run(place: Place64, folder: Path, leave_at: int | None = None, **changes: Any) -> tuple[Outcome, AdapterTask]:
    """The demo's recipe on the small base, until its end or until somebody asks to leave at a position."""
    task = make_task(place, tiny_form("demo", adapter__rank=2, adapter__num_inference_steps=1, **changes))
    if leave_at is not None:
        task.batches = leaving(task, leave_at)
    return fit(task, make_accelerator(task.config, "cpu"), folder, resume=True), task


def leaving(task: AdapterTask, position: int) -> Any:
    given = task.batches

    def batches(start: int) -> Iterator[TripletBatch]:
        for batch in given(start):
            if batch.positions[0] >= position:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    return batches


def assert_same_weights(first: Path, second: Path) -> None:
    for file in ("adapter.safetensors", "averaged.safetensors"):
        ours, theirs = (load_file(path / file) for path in (first, second))
        assert set(ours) == set(theirs)
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def losses_of(folder: Path) -> list[float]:
    return [line["adapter.loss"] for line in read_metrics(folder)]


# --- going on ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(place: Place64, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed: six steps of two samples."""
    folder = tmp_path_factory.mktemp("whole")
    outcome, _ = run(place, folder)
    assert outcome.status == "done"
    return folder


@pytest.mark.parametrize("position", [2, 5, 8])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(place: Place64, whole: Path, tmp_path: Path, position: int):
    first, _ = run(place, tmp_path, leave_at=position)
    assert first.status == "interrupted" and 0 < first.progress.step < 6
    second, _ = run(place, tmp_path)
    assert second.status == "done"
    assert_same_weights(last(whole), last(tmp_path))
    assert losses_of(whole) == losses_of(tmp_path)


def test_the_run_wrote_down_what_it_did(whole: Path):
    lines = read_metrics(whole)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {"adapter.loss", "adapter.background", "adapter.foreground", "loader_wait_s"} <= set(lines[0])
    assert [line["step"] for line in lines if "validation_loss" in line] == [2, 4, 6]
    weights = load_file(last(whole) / "adapter.safetensors")
    assert weights and all(".lora_" in name or name.startswith(("fusion.", "network.x_embedder.")) for name in weights)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_learn_the_same_as_one(
    place: Place64, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sharded: bool
):
    """The same batch of four; sums are in another order, and each step starts from the last one's rounding."""
    changes = {"batch.accumulation": 2, "output.sample_every_steps": 6}
    assert decoupage(command(place, tmp_path / "one", changes=changes), monkeypatch) == 0
    if sharded:  # A block that is computed again in the backward pass is gathered for it.
        changes |= {"compute.sharded": True, "compute.checkpoint_every_blocks": 2}
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "commands.main",
    ]
    done = subprocess.run(
        [*launch, *command(place, tmp_path / "two", changes=changes)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (losses_of(tmp_path / name) for name in ("one", "two"))
    assert two[0] == pytest.approx(one[0], rel=1e-6)
    assert two == pytest.approx(one, rel=1e-4)
    judged = [
        [line["validation_loss"] for line in read_metrics(tmp_path / name) if "validation_loss" in line]
        for name in ("one", "two")
    ]
    assert judged[0] == pytest.approx(judged[1], rel=1e-4)
    names = [{path.name for path in (tmp_path / name / "export").iterdir()} for name in ("one", "two")]
    assert names[0] == names[1] and "README.md" in names[0]
    lora, again = (load_file(next((tmp_path / name / "export").glob("*lora*.safetensors"))) for name in ("one", "two"))
    assert set(lora) == set(again)
    for name, tensor in lora.items():
        torch.testing.assert_close(tensor, again[name], rtol=1e-2, atol=1e-4)
    for file, key in (("adapter.json", "adapter"), ("fusion/config.json", "_class_name")):
        said = [json.loads((tmp_path / name / "export" / file).read_text())[key] for name in ("one", "two")]
        assert said[0] == said[1]  # The adapter's alpha levels too: calibrated on the same samples.


# --- what comes of it -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(place: Place64, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterTask]:
    folder = tmp_path_factory.mktemp("exported")
    outcome, task = run(place, folder)
    return export(task, outcome, make_accelerator(task.config, "cpu"), folder), task


def picture_and_mask(size_px: int = 256) -> tuple[Image.Image, Image.Image]:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((size_px, size_px))
    mask = Image.new("L", (size_px, size_px))
    mask.paste(255, (size_px // 4, size_px // 4, size_px // 2, size_px // 2))
    return picture, mask


def test_the_export_is_what_was_taught(place: Place64, exported: tuple[Path, AdapterTask]):
    folder, task = exported
    loaded = LayerDecompositionPipeline.from_pretrained(folder, base=place.bases["small-fill"], maps="none")
    loaded.set_progress_bar_config(disable=True)
    taught = pipeline_of(task)
    taught.transformer.eval()
    taught.fusion.eval()
    picture, mask = picture_and_mask()
    found = [
        pipe(picture, mask=mask, generator=torch.Generator().manual_seed(0), output_type="pt", paste_back=False)
        for pipe in (loaded, taught)
    ]
    for part in ("background", "foreground"):
        ours, theirs = (getattr(each, part) for each in found)
        assert ours.shape[-2:] == (256, 256)
        assert torch.allclose(ours, theirs, atol=2e-2)  # Adapters are published in half precision.
    assert loaded.adapter.size_px == 64 and loaded.adapter.num_inference_steps == 1


def test_the_export_says_what_it_was_made_from(exported: tuple[Path, AdapterTask]):
    folder, task = exported
    card = (folder / "README.md").read_text()
    assert task.identity["data"].split("-")[0] in card
    assert "6" in card and "small-fill" in card


def test_decompose_takes_the_export(
    place: Place64, exported: tuple[Path, AdapterTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    picture, mask = picture_and_mask()
    picture.save(tmp_path / "picture.png")
    mask.save(tmp_path / "mask.png")
    files = [str(tmp_path / "picture.png"), "--mask", str(tmp_path / "mask.png"), "--out", str(tmp_path / "out")]
    model = ["--model", str(exported[0]), "--base", place.bases["small-fill"], "--device", "cpu"]
    assert decoupage(["decompose", *files, *model], monkeypatch) == 0
    foreground = Image.open(tmp_path / "out" / "foreground.png")
    assert (foreground.mode, foreground.size) == ("RGBA", (256, 256))
