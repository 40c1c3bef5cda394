"""Runs of the RGBA VAE: their numbers, what is refused, and that they are read without torch."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from training.config import with_changes
from training.recipes import find_recipe
from training.rgba_vae.config import RgbaVaeConfig, rgba_vae, small_rgba_vae


def test_the_recipe_is_alphavaes():
    run = rgba_vae()
    assert (run.base, run.data.size_px, run.opaque_share, run.freeze_trunk_steps) == ("flux-fill", 1024, 0.5, 1000)
    assert (run.optimiser.learning_rate, run.optimiser.betas, run.schedule.kind) == (1e-5, (0.5, 0.9), "cosine")
    assert run.batch.size * run.schedule.num_steps == 160_000
    assert run.has_adversary


def test_the_demo_needs_neither_gpu_nor_perceptual_weights_nor_adversary():
    run = small_rgba_vae()
    assert (run.base, run.data.size_px, run.compute.precision) == ("small-fill", 128, "fp32")
    assert not run.has_adversary and run.weights.perceptual == 0 and not run.needs_gpu


def test_recipes_are_found_by_their_names():
    assert (find_recipe("rgba_vae"), find_recipe("small_rgba_vae")) == (rgba_vae(), small_rgba_vae())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compute.base_quantisation": "nf4"}, "base_quantisation"),
        ({"compute.compile": True}, "compute.compile"),
        ({"data.num_validation": 0}, "num_validation"),
        ({"data.validation_share": 0.0}, "validation_share"),
        ({"opaque_share": 1.5}, "opaque_share"),
        ({"weights.tie_kind": "l3"}, "weights.tie_kind"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        with_changes(rgba_vae(), changes)


def test_unknown_keys_are_refused():
    with pytest.raises(ValidationError):
        RgbaVaeConfig.model_validate({"opaque": 0.5})


def test_an_adversary_that_would_start_after_the_end_takes_no_part():
    assert not with_changes(rgba_vae(), {"weights.adversarial_from_step": 20_000}).has_adversary
    assert not with_changes(rgba_vae(), {"weights.adversarial": 0.0}).has_adversary


@pytest.mark.parametrize("change", [{"opaque_share": 0.4}, {"weights.tie": 2.0}, {"freeze_trunk_steps": 0}])
def test_what_decides_the_weights_changes_the_fingerprint(change: dict[str, Any]):
    assert with_changes(rgba_vae(), change).fingerprint() != rgba_vae().fingerprint()


@pytest.mark.parametrize("change", [{"data.max_unreadable_share": 0.5}, {"data.redraw_masks": True}])
def test_what_does_not_leaves_it(change: dict[str, Any]):
    assert with_changes(rgba_vae(), change).fingerprint() == rgba_vae().fingerprint()


def test_recipes_are_read_without_torch():
    code = "import sys, training.rgba_vae.config; assert 'torch' not in sys.modules and 'diffusers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
