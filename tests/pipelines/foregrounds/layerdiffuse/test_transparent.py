"""Latents become RGBA as the publishers make them: eight passes, the lower median, channels in their order."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadItem
from pipelines.foregrounds.layerdiffuse.transparent import FLUX, SDXL, decode, median_of_views
from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import tiny_decoder, tiny_vae
from tests.pipelines.foregrounds.layerdiffuse.upstream import eight_passes


class Uneven(torch.nn.Module):
    """Depends on where a pixel is, so that each of the eight views gives something else; exact in any batch."""

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(1))

    def forward(self, pixels, latents):
        height, width = pixels.shape[2:]
        down = torch.linspace(0, 0.3, height)[:, None]
        across = torch.linspace(0, 0.2, width) ** 2
        wide = latents.repeat_interleave(8, 2).repeat_interleave(8, 3)
        return torch.cat([pixels, wide[:, :1]], 1) * 0.7 + down + across - 0.1


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32))
def test_the_median_is_the_lower_of_eight_passes(rows, columns, seed):
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.rand(2, 3, 64 * rows, 64 * columns, generator=rng)
    z = torch.randn(2, 4, 8 * rows, 8 * columns, generator=rng)
    passes = eight_passes(Uneven(), pixels, z)
    ours = median_of_views(Uneven(), pixels, z)
    assert torch.equal(ours, torch.median(passes, dim=0).values)
    assert torch.equal(ours, passes.sort(dim=0).values[3])
    assert not torch.equal(ours, passes[0])


@pytest.mark.parametrize(("height_px", "width_px"), [(64, 64), (64, 128), (192, 64)])
def test_passes_together_give_what_passes_one_by_one_give(height_px, width_px):
    rng = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, height_px, width_px, generator=rng)
    z = torch.randn(1, 4, height_px // 8, width_px // 8, generator=rng)
    decoder = tiny_decoder(4)
    with torch.inference_mode():
        one_by_one = eight_passes(decoder, pixels, z).median(dim=0).values
    torch.testing.assert_close(median_of_views(decoder, pixels, z), one_by_one, rtol=0, atol=2e-5)


def _vae(latent_channels, pixel=None):
    """A real VAE's configuration; its decoder notes what it was given, and gives one value where asked to."""
    vae, seen = tiny_vae(latent_channels), []

    def decode_(z):
        seen.append(z)
        size = (z.shape[0], 3, z.shape[2] * 8, z.shape[3] * 8)
        return SimpleNamespace(sample=torch.full(size, pixel) if pixel is not None else vae.decode(z).sample)

    return SimpleNamespace(dtype=vae.dtype, config=vae.config, decode=decode_, seen=seen)


class Fixed(torch.nn.Module):
    """Gives four values, and notes what it was given."""

    def __init__(self, values):
        super().__init__()
        self.values, self.seen = torch.nn.Parameter(torch.tensor(values)), []

    def forward(self, pixels, latents):
        self.seen.append((pixels, latents))
        return self.values.view(1, 4, 1, 1).expand(pixels.shape[0], 4, *pixels.shape[2:])


def test_sdxl_puts_alpha_first():
    rgba = decode(torch.zeros(1, 4, 8, 16), _vae(4), Fixed([0.5, 0.1, 0.2, 1.2]), SDXL)[0]
    assert (rgba.shape, rgba.dtype) == ((64, 128, 4), np.uint8)
    # Cut off, not rounded: 0.5 * 255 = 127.5, 0.1 * 255 = 25.5.
    assert np.unique(rgba.reshape(-1, 4), axis=0).tolist() == [[25, 51, 255, 127]]


def test_flux_puts_alpha_last():
    rgba = decode(torch.zeros(1, 16, 8, 8), _vae(16), Fixed([0.1, 0.2, 1.2, 0.5]), FLUX)[0]
    assert np.unique(rgba.reshape(-1, 4), axis=0).tolist() == [[25, 51, 255, 127]]


def test_the_decoder_sees_unscaled_latents_and_the_pixels_of_its_family():
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    vae, decoder = _vae(4, pixel=1.5), Fixed([0.0] * 4)
    decode(latents, vae, decoder, SDXL)
    assert torch.equal(vae.seen[0], latents / 0.13025)
    pixels, z = decoder.seen[0]
    assert torch.equal(z[:1], latents / 0.13025)
    assert pixels.unique().tolist() == [1.0]  # 1.5 * 0.5 + 0.5, clipped.

    latents = latents.repeat(1, 4, 1, 1)
    vae, decoder = _vae(16, pixel=1.5), Fixed([0.0] * 4)
    decode(latents, vae, decoder, FLUX)
    torch.testing.assert_close(vae.seen[0], latents / 0.3611 + 0.1159)
    assert decoder.seen[0][0].unique().tolist() == [1.25]


def test_an_overflow_spoils_its_own_picture_only():
    latents = torch.zeros(3, 4, 8, 8)
    latents[1, 0, 2, 2] = float("nan")
    pictures = decode(latents, tiny_vae(4), tiny_decoder(4), SDXL)
    assert isinstance(pictures[1], BadItem) and pictures[1].reason == "not_finite"
    assert np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("part", ["latents", "pixels", "decoder"])
def test_no_value_that_is_not_finite_becomes_black_or_white(part, value):
    latents = torch.full((1, 4, 8, 8), value if part == "latents" else 0.0)
    vae = _vae(4, pixel=value if part == "pixels" else 0.5)
    decoder = Fixed([0.5, 0.1, value if part == "decoder" else 0.2, 1.0])
    for convention in (SDXL, FLUX):
        [picture] = decode(latents, vae, decoder, convention)
        assert isinstance(picture, BadItem) and picture.reason == "not_finite"
