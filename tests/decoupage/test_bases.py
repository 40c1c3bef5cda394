"""Bases: the conventions are those of diffusers' own pipelines, compared with their own functions."""

import numpy as np
import pytest
import torch
from diffusers import FluxFillPipeline
from diffusers.pipelines.flux.pipeline_flux_fill import calculate_shift, retrieve_timesteps
from hypothesis import given
from hypothesis import strategies as st

from decoupage.bases import find_base
from decoupage.bases.flux import FluxFill, shifted
from tests.decoupage.tiny import flux_fill, flux_kontext

BASE = FluxFill()
sides = st.integers(1, 5).map(lambda side: side * 16)


@pytest.fixture(scope="module")
def fill():
    return flux_fill()


@given(sides, sides, st.integers(0, 2**31))
def test_packing_is_that_of_the_fill_pipeline(height, width, seed):
    latents = torch.randn(2, 16, height // 8, width // 8, generator=torch.manual_seed(seed))
    theirs = FluxFillPipeline._pack_latents(latents, 2, 16, height // 8, width // 8)
    assert torch.equal(BASE.pack(latents), theirs)
    assert torch.equal(BASE.unpack(theirs, height, width), latents)
    assert torch.equal(BASE.unpack(theirs, height, width), FluxFillPipeline._unpack_latents(theirs, height, width, 8))


@given(sides, sides)
def test_ids_are_those_of_the_fill_pipeline(height, width):
    rows, columns = BASE.grid(height, width)
    theirs = FluxFillPipeline._prepare_latent_image_ids(1, rows, columns, "cpu", torch.float32)
    assert torch.equal(BASE.ids("background", rows, columns), theirs)
    foreground = BASE.ids("foreground", rows, columns)
    assert (foreground[:, 0] == 1).all() and torch.equal(foreground[:, 1:], theirs[:, 1:])


def test_mask_and_masked_picture_are_those_of_the_fill_pipeline(fill):
    picture = torch.rand(1, 3, 48, 64) * 2 - 1
    mask = (torch.rand(1, 1, 48, 64) > 0.5).float()
    arguments = (1, 16, 1, 48, 64, torch.float32, "cpu", torch.manual_seed(3))
    packed, masked = fill.prepare_mask_latents(mask, picture * (1 - mask), *arguments)
    assert torch.equal(BASE.pack_mask(mask), packed)
    ours = BASE.pack(BASE.encode(fill.vae, picture * (1 - mask), torch.manual_seed(3)))
    assert torch.equal(ours, masked)


def test_text_is_that_of_the_fill_pipeline(fill):
    prompts = ["a red ball", ""]
    tokens, pooled, ids = fill.encode_prompt(prompts, None, device="cpu", max_sequence_length=512)
    ours = BASE.embed_text(fill.components, prompts, torch.device("cpu"))
    assert torch.equal(ours.tokens_BLD, tokens)
    assert torch.equal(ours.pooled_BP, pooled)
    assert torch.equal(ours.ids_LA, ids)


@pytest.mark.parametrize("num_tokens", [12, 256, 4096])
def test_schedule_is_that_of_the_fill_pipeline(fill, num_tokens):
    scheduler = fill.scheduler
    mu = calculate_shift(num_tokens, 256, 4096, 0.5, 1.15)
    theirs, _ = retrieve_timesteps(scheduler, 7, "cpu", sigmas=np.linspace(1.0, 1 / 7, 7), mu=mu)
    theirs = theirs.clone()
    assert torch.equal(BASE.set_timesteps(scheduler, 7, num_tokens, torch.device("cpu")), theirs)
    # What training draws is moved by the same rule.
    straight = torch.linspace(1.0, 1 / 7, 7)
    assert torch.allclose(shifted(straight, BASE.shift(scheduler, num_tokens)) * 1000, theirs, rtol=1e-5)


def test_shift_at_full_size_is_the_published_one(fill):
    assert BASE.shift(fill.scheduler, 4096) == pytest.approx(1.15)
    assert shifted(torch.tensor(0.5), 1.15).item() == pytest.approx(3.158 * 0.5 / (1 + 2.158 * 0.5), rel=1e-3)


def test_a_base_loads_from_a_folder_in_the_published_layout(fill, tmp_path):
    fill.save_pretrained(tmp_path)
    loaded = FluxFill().load(str(tmp_path))
    for name in ("transformer", "vae", "text_encoder_2"):
        theirs = dict(fill.components[name].named_parameters())
        assert all(torch.equal(value, theirs[key]) for key, value in loaded[name].named_parameters())


def test_kontext_takes_the_mode_of_its_codec():
    base, pipe = find_base("flux-kontext"), flux_kontext()
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    theirs = pipe._encode_vae_image(picture, torch.manual_seed(0))
    assert torch.equal(base.encode(pipe.vae, picture, torch.manual_seed(9)), theirs)


def test_unknown_bases_are_named():
    with pytest.raises(ValueError, match="no base 'sd1'; known: flux-fill, flux-kontext"):
        find_base("sd1")
