"""The small base: a codec in closed form, FLUX.1-Fill's conventions with other numbers."""

import numpy as np
import torch
from PIL import Image

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases.small import SmallFill, save_base
from decoupage.bases.small_codec import SmallCodec
from decoupage.publishing import shipped_adapter
from decoupage.publishing.taking_up import take_up
from decoupage.rgba_vae import widen_vae
from training.recipes import find_recipe


def smooth(seed=0, side=64):
    coarse = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(-1, 1)


def test_components_reconstruct_what_they_were_fitted_to():
    codec = SmallCodec().eval()
    codec.fit([smooth(0), smooth(1, 32)])
    with torch.no_grad():
        latents = codec.encode(smooth(2)).latent_dist.mode()
        back = codec.decode(latents).sample
    assert latents.shape == (2, 64, 8, 8) and (latents[:, 40:] == 0).all()
    assert (back - smooth(2)).square().mean() < 1e-3
    assert 0.5 < (latents[:, :40] * codec.config.scaling_factor).std() < 2


def test_the_best_components_are_taken():
    codec, pictures = SmallCodec().eval(), smooth(3)
    codec.fit([pictures])
    kept = codec.encoder.conv_in.weight.detach()[:40].reshape(40, 192)
    assert torch.allclose(kept @ kept.T, torch.eye(40), atol=1e-5)
    with torch.no_grad():
        ours = (codec.decode(codec.encode(pictures).latent_dist.mode()).sample - pictures).square().mean()
        random_basis = torch.linalg.qr(torch.randn(192, 40, generator=torch.manual_seed(0)))[0]
        patches = torch.nn.functional.pixel_unshuffle(pictures, 8).permute(0, 2, 3, 1).reshape(-1, 192)
        centred = patches - patches.mean(dim=0)
        theirs = (centred - centred @ random_basis @ random_basis.T).square().mean()
    assert ours < theirs / 10


def test_the_codec_widens_to_rgba_and_loads_back(tmp_path):
    codec = SmallCodec().eval()
    codec.fit([smooth()])
    wide = widen_vae(codec)
    picture = smooth(5)
    with torch.no_grad():
        latents = codec.encode(picture).latent_dist.mode()
        opaque = torch.cat([picture, torch.ones_like(picture[:, :1])], dim=1)
        assert torch.allclose(wide.encode(opaque).latent_dist.mode(), latents, atol=1e-5)
        decoded = wide.decode(latents).sample
        assert torch.allclose(decoded[:, :3], codec.decode(latents).sample, atol=1e-5)
        assert torch.allclose(decoded[:, 3], torch.ones(1))
        ramp = torch.linspace(-1, 1, picture.shape[-1]).expand_as(picture[:, :1])
        again = wide.decode(wide.encode(torch.cat([picture, ramp], dim=1)).latent_dist.mode()).sample
        assert (again[:, 3:] - ramp).abs().max() < 0.02
        assert torch.allclose(again[:, :3], decoded[:, :3], atol=1e-5)
    wide.save_pretrained(tmp_path)
    again = SmallCodec.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), wide.parameters(), strict=True))


def test_a_small_base_is_saved_loaded_and_adapted(tmp_path):
    torch.manual_seed(0)
    save_base(SmallFill().new(), str(tmp_path))
    config = AdapterConfig(base="small-fill", rank=4, num_latents=4, fusion_dim=32, size_px=64)
    pipe = LayerDecompositionPipeline.from_base(config, str(tmp_path))
    pipe.set_progress_bar_config(disable=True)
    assert pipe.transformer.x_embedder.in_features == 1026
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8))
    mask = Image.new("L", image.size)
    mask.paste(255, (10, 10, 30, 30))
    out = pipe(image, mask=mask, num_inference_steps=2, generator=torch.Generator().manual_seed(0))
    assert out.foreground[0].size == out.background[0].size == (64, 40)


def test_the_packaged_base_answers_a_filling_by_more_than_its_last_modulation():
    """Where that lets nothing through, no adapter learns."""
    network = SmallFill().load()["transformer"]
    pooled = torch.zeros(1, network.config.pooled_projection_dim)
    with torch.no_grad():
        at = network.time_text_embed(torch.tensor([1000.0]), torch.tensor([1000.0]), pooled)
        scale, _ = network.norm_out.linear(torch.nn.functional.silu(at)).chunk(2, dim=1)
    assert (1 + scale).abs().mean() > 0.5


def test_the_packaged_adapter_draws_a_careless_mask_to_the_object():
    rng, (rows, columns) = np.random.default_rng(0), np.mgrid[:240, :320]
    disc = (rows - 120) ** 2 + (columns - 160) ** 2 <= 70**2
    colours = np.where(disc[..., None], (200, 40, 40), (40, 140, 60))
    picture = (colours + rng.integers(-25, 26, (240, 320, 3))).astype(np.uint8)
    mask = np.roll(disc, 28, axis=1)
    pipe = LayerDecompositionPipeline.from_pretrained()
    pipe.set_progress_bar_config(disable=True)
    out = pipe(picture, mask=mask, output_type="np")
    alpha, background = out.foreground[0][..., 3] / 255, out.background[0].astype(int)
    assert np.minimum(alpha, disc).sum() / np.maximum(alpha, disc).sum() > 0.93
    assert np.minimum(mask, disc).sum() / np.maximum(mask, disc).sum() < 0.65
    assert (background[disc][:, 1] > background[disc][:, 0]).mean() > 0.9  # Green where the red disc was.


def test_the_packaged_adapter_can_be_trained_further_by_its_recipe():
    config, start = find_recipe("small").adapter_config(), shipped_adapter()
    pipe = LayerDecompositionPipeline.from_base(config)
    vae_rgba = LayerDecompositionPipeline.from_pretrained().vae_rgba
    assert take_up(start, pipe.base, config, pipe.transformer, vae_rgba) is not None
