"""A whole run of the RGBA VAE through the loop: checkpoints, export, and going on where parts begin to learn."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from decoupage.rgba_vae import widen_vae
from pipelines.synthetic import FakeScenes, build_dataset
from tests.decoupage.tiny import flux_vae
from training.config import with_changes
from training.loop import export, fit, make_accelerator, place_of
from training.rgba_vae.config import RgbaVaeConfig, small_rgba_vae
from training.rgba_vae.task import RgbaVaeTask

RUN = with_changes(
    small_rgba_vae(),
    {
        "data.size_px": 64,
        "schedule.num_steps": 5,
        "schedule.warmup_steps": 0,
        "batch.micro_batch": 1,
        "batch.accumulation": 2,
        "compute.loader_workers": 0,
        "data.validation_share": 0.3,
        "data.num_validation": 2,
        "freeze_trunk_steps": 3,
        "weights.adversarial": 1.0,
        "weights.adversarial_from_step": 4,
        "output.save_every_steps": 2,
        "output.sample_every_steps": 0,
    },
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("rgba_vae_run")
    build_dataset(root, FakeScenes(num_scenes=8, scenes_per_shard=4))
    return str(root)


def run(dataset: str, folder: Path, config: RgbaVaeConfig = RUN) -> dict[str, torch.Tensor]:
    """Fit as far as it goes; the exported weights."""
    accelerator = make_accelerator(config, "cpu")
    task = RgbaVaeTask(config, dataset, flux_vae(), place_of(accelerator))
    outcome = fit(task, accelerator, folder, resume=True)
    assert outcome.status == "done"
    return AutoencoderKL.from_pretrained(export(task, outcome, accelerator, folder)).state_dict()


def test_a_resumed_run_equals_one_that_was_not_interrupted(dataset: str, tmp_path: Path):
    whole = run(dataset, tmp_path / "whole")
    saved = "checkpoints/0000002"  # The trunk still waits, and so does the discriminator.
    shutil.copytree(tmp_path / "whole" / saved, tmp_path / "resumed" / saved)
    resumed = run(dataset, tmp_path / "resumed")
    assert (tmp_path / "whole/export/figures.json").read_text() == (
        tmp_path / "resumed/export/figures.json"
    ).read_text()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    start = flux_vae().state_dict()
    trunk = "decoder.mid_block.resnets.0.conv1.weight"
    assert not torch.equal(whole[trunk], start[trunk])


def test_a_run_ends_the_same_however_its_batches_are_split(dataset: str, tmp_path: Path):
    """Eight at a time and one at a time, with three steps after the adversary has started."""
    changes = {"weights.adversarial_from_step": 2, "freeze_trunk_steps": 0, "optimiser.learning_rate": 1e-3}

    def ended(micro_batch: int) -> torch.Tensor:
        split = {"batch.micro_batch": micro_batch, "batch.accumulation": 8 // micro_batch}
        state = run(dataset, tmp_path / str(micro_batch), with_changes(RUN, changes | split))
        return torch.cat([value.flatten() for value in state.values()])

    whole, split = ended(8), ended(1)
    start = widen_vae(flux_vae()).state_dict()
    moved = (whole - torch.cat([value.flatten() for value in start.values()])).norm()
    assert (whole - split).norm() < 0.02 * moved
