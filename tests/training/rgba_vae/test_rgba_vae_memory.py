"""Memory of a run of the RGBA VAE: counted on tensors without contents, and held to a real pass."""

import pytest
import torch
from diffusers import AutoencoderKL

from decoupage.rgba_vae import widen_vae
from training.config import with_changes
from training.kept import kept_bytes
from training.recipes import find_recipe
from training.rgba_vae.losses import reconstruction_loss
from training.rgba_vae.memory import estimate, num_parameters, num_trained
from training.rgba_vae.networks import PatchDiscriminator, RgbaAutoencoder

SMALL = {"block_out_channels": (32, 64), "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 8}
SMALL |= {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}


def changed(**changes):
    return with_changes(find_recipe("rgba_vae"), {key.replace("__", "."): value for key, value in changes.items()})


def test_the_real_vae_has_its_known_counts():
    wide, rgb = num_parameters("flux-fill")
    assert rgb == 83_819_683
    assert wide == rgb + 128 * 9 + 128 * 9 + 1
    assert num_trained(changed()) == wide + sum(p.numel() for p in PatchDiscriminator().parameters())
    assert num_trained(changed(weights__adversarial=0.0)) == wide


def test_parts_follow_what_they_are_made_of():
    whole = estimate(changed())
    assert 30 < whole.total_gb < 45 and whole.activations > 0.8 * whole.total_gb
    assert whole.moments == 2 * whole.trained == 2 * whole.gradients
    assert estimate(changed(batch__micro_batch=2, batch__accumulation=4)).activations == 2 * whole.activations
    assert estimate(changed(data__size_px=512)).activations == pytest.approx(whole.activations / 4, rel=0.02)
    assert estimate(changed(weights__perceptual=0.0)).activations < whole.activations
    assert estimate(changed(weights__adversarial=0.0)).activations < whole.activations
    assert estimate(changed(compute__checkpoint_every_blocks=1)).activations < 0.6 * whole.activations
    assert estimate(changed(), on_gpu=False).activations > whole.activations
    assert estimate(changed(), num_processes=8).exchange == whole.gradients


def test_activations_are_what_autograd_keeps_of_a_real_pass(tmp_path):
    rgb = AutoencoderKL(**SMALL)
    rgb.save_config(tmp_path / "vae")
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text("{}")
    vae, target = widen_vae(rgb).train(), torch.zeros(1, 4, 64, 64)

    def coded():
        return reconstruction_loss(RgbaAutoencoder(vae)(target).decoded_B4HW.float(), target)

    alone = changed(weights__perceptual=0.0, weights__adversarial=0.0, data__size_px=64)
    assert estimate(alone, str(tmp_path)).activations * 1e9 == kept_bytes(coded, vae)
    judge, decoded = PatchDiscriminator(), torch.zeros(1, 4, 64, 64, requires_grad=True)
    judged = kept_bytes(lambda: judge(decoded), judge)
    together = estimate(changed(weights__perceptual=0.0, data__size_px=64), str(tmp_path)).activations * 1e9
    assert together == pytest.approx(kept_bytes(coded, vae) + judged)
