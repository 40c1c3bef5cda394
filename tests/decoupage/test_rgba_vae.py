"""The RGBA VAE starts as the RGB VAE it came from, can learn alpha, and stays a stock AutoencoderKL."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AsymmetricAutoencoderKL,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderTiny,
    ConfigMixin,
    ModelMixin,
)
from diffusers.configuration_utils import register_to_config
from hypothesis import given
from hypothesis.extra import numpy as hnp

from decoupage.rgba_vae import (
    OpaqueDrift,
    decode_rgba,
    encode_rgba,
    opaque_drift,
    widen_vae,
)
from decoupage.rgba_values import gray_where_invisible, without_haze

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
NEW_TENSORS = {"encoder.conv_in.weight", "decoder.conv_out.weight", "decoder.conv_out.bias"}
TINY = {
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (8, 8, 8),
    "norm_num_groups": 4,
    "sample_size": 32,
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def flux_like(**changes) -> AutoencoderKL:
    """16 latent channels, a shift, no quant_conv."""
    torch.manual_seed(0)
    plain = {"use_quant_conv": False, "use_post_quant_conv": False, "scaling_factor": 0.3611, "shift_factor": 0.1159}
    return AutoencoderKL(**{**TINY, "latent_channels": 16, **plain, **changes}).eval()


def sdxl_like(**changes) -> AutoencoderKL:
    """4 latent channels, no shift, quant_conv and post_quant_conv."""
    torch.manual_seed(0)
    return AutoencoderKL(**{**TINY, "latent_channels": 4, "scaling_factor": 0.13025, **changes}).eval()


@pytest.fixture(params=[flux_like, sdxl_like], ids=["flux", "sdxl"])
def rgb_vae(request) -> AutoencoderKL:
    return request.param()


def pictures(num=2, size_px=32, channels=3) -> torch.Tensor:
    return torch.rand(num, channels, size_px, size_px, generator=torch.Generator().manual_seed(1)) * 2 - 1


def with_alpha(x_B3HW, alpha) -> torch.Tensor:
    alpha_B1HW = torch.as_tensor(alpha, dtype=x_B3HW.dtype, device=x_B3HW.device).expand(
        len(x_B3HW), 1, *x_B3HW.shape[2:]
    )
    return torch.cat([x_B3HW, alpha_B1HW], dim=1)


# --- at start ---------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("alpha", [-1.0, 1.0, "random"])
@torch.no_grad()
def test_a_new_rgba_vae_encodes_to_the_rgb_latent_whatever_alpha(rgb_vae, dtype, alpha):
    rgb_vae.to(dtype)
    x_B3HW = pictures().to(dtype)
    alpha = pictures(channels=1).to(dtype) if alpha == "random" else alpha
    latent = rgb_vae.encode(x_B3HW).latent_dist.mode()
    expected = (latent - (rgb_vae.config.shift_factor or 0.0)) * rgb_vae.config.scaling_factor

    latents = encode_rgba(widen_vae(rgb_vae), with_alpha(x_B3HW, alpha))

    assert latents.dtype == dtype
    assert torch.equal(latents, expected)


@DTYPES
@pytest.mark.parametrize("num", [1, 2])
@torch.no_grad()
def test_a_new_rgba_vae_decodes_the_rgb_picture_opaque(rgb_vae, dtype, num):
    rgb_vae.to(dtype)
    size = (num, rgb_vae.config.latent_channels, 8, 8)
    latents_BCHW = torch.randn(size, generator=torch.Generator().manual_seed(2)).to(dtype)
    shift, scale = rgb_vae.config.shift_factor or 0.0, rgb_vae.config.scaling_factor

    rgba_B4HW = decode_rgba(widen_vae(rgb_vae), latents_BCHW)

    expected_B3HW = rgb_vae.decode(latents_BCHW / scale + shift).sample
    # A small picture alone takes another kernel for four output channels than for three; two take the same.
    tolerance = {"rtol": 0, "atol": 0} if num == 2 else {}
    torch.testing.assert_close(rgba_B4HW[:, :3], expected_B3HW, **tolerance)
    assert (rgba_B4HW[:, 3] == 1.0).all()


@DTYPES
def test_everything_but_the_new_column_and_row_is_copied_bit_for_bit(rgb_vae, dtype):
    old = {name: tensor.clone() for name, tensor in rgb_vae.to(dtype).state_dict().items()}
    wide = widen_vae(rgb_vae)
    new = wide.state_dict()

    assert type(wide) is AutoencoderKL and not wide.training and wide.dtype == dtype
    assert all(parameter.requires_grad for parameter in wide.parameters())
    assert new.keys() == old.keys()
    assert {name for name in old if new[name].shape != old[name].shape} == NEW_TENSORS
    assert all(torch.equal(new[name], old[name]) for name in old.keys() - NEW_TENSORS)
    assert torch.equal(new["encoder.conv_in.weight"][:, :3], old["encoder.conv_in.weight"])
    assert torch.equal(new["decoder.conv_out.weight"][:3], old["decoder.conv_out.weight"])
    assert torch.equal(new["decoder.conv_out.bias"][:3], old["decoder.conv_out.bias"])
    assert not new["encoder.conv_in.weight"][:, 3].any() and not new["decoder.conv_out.weight"][3].any()


def test_the_rgb_vae_and_the_random_state_are_left_alone(rgb_vae):
    before = {name: tensor.clone() for name, tensor in rgb_vae.state_dict().items()}
    state = torch.get_rng_state()
    wide = widen_vae(rgb_vae)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in rgb_vae.state_dict().items())
    assert (rgb_vae.config.in_channels, rgb_vae.config.out_channels) == (3, 3)


@torch.no_grad()
def test_diffusers_own_loader_gives_the_rgba_vae_back(rgb_vae, tmp_path: Path):
    wide = widen_vae(rgb_vae)
    wide.encoder.conv_in.weight[:, 3] = 0.25  # a trained one
    wide.save_pretrained(tmp_path)
    loaded = AutoencoderKL.from_pretrained(tmp_path)

    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["in_channels"], written["out_channels"], written["_class_name"]) == (4, 4, "AutoencoderKL")
    assert (written["scaling_factor"], written["shift_factor"]) == (
        rgb_vae.config.scaling_factor,
        rgb_vae.config.shift_factor,
    )
    rgba_B4HW = pictures(channels=4)
    assert torch.equal(encode_rgba(loaded, rgba_B4HW), encode_rgba(wide, rgba_B4HW))
    assert torch.equal(loaded(rgba_B4HW).sample, wide(rgba_B4HW).sample)
    assert AutoencoderKL.from_pretrained(tmp_path, torch_dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_loaded_rgb_vae_widens_too(rgb_vae, tmp_path: Path):
    rgb_vae.save_pretrained(tmp_path / "rgb")
    wide = widen_vae(AutoencoderKL.from_pretrained(tmp_path / "rgb"))
    wide.save_pretrained(tmp_path / "rgba")
    assert AutoencoderKL.from_pretrained(tmp_path / "rgba").config.in_channels == 4


FLUX_VAE_CONFIG = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 16,
    "sample_size": 1024,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
"""The geometry of the FLUX.1 autoencoder (`vae/config.json` of the published models), where it is not the default."""


def test_the_full_flux_geometry_grows_by_one_column_and_one_row():
    with torch.device("meta"):
        rgb_vae = AutoencoderKL.from_config(FLUX_VAE_CONFIG).eval()
    wide = widen_vae(rgb_vae)
    num_rgb, num_rgba = (sum(parameter.numel() for parameter in vae.parameters()) for vae in (rgb_vae, wide))
    assert all(parameter.is_meta for parameter in wide.parameters())
    assert num_rgb == 83_819_683
    assert num_rgba - num_rgb == 3 * 3 * 128 + 3 * 3 * 128 + 1


@pytest.mark.gpu
@torch.no_grad()
def test_on_a_gpu_the_start_agrees_with_the_rgb_vae(rgb_vae):
    # Other kernels may be chosen for four channels than for three, so the sums may run in another order.
    wide, x_B3HW = widen_vae(rgb_vae.cuda()), pictures().cuda()
    shift, scale = rgb_vae.config.shift_factor or 0.0, rgb_vae.config.scaling_factor
    expected = (rgb_vae.encode(x_B3HW).latent_dist.mode() - shift) * scale
    latents = encode_rgba(wide, with_alpha(x_B3HW, 0.0))
    torch.testing.assert_close(latents, expected, rtol=1e-3, atol=1e-3)
    assert (decode_rgba(wide, latents)[:, 3] == 1.0).all()


# --- other codecs -----------------------------------------------------------------------------------------------


class ShapedLikeIt(ModelMixin, ConfigMixin):
    """Not an AutoencoderKL, but with its two convolutions under the same names."""

    @register_to_config
    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 4):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Module(), torch.nn.Module()
        self.encoder.conv_in = torch.nn.Conv2d(in_channels, width, 4, stride=4)
        self.decoder.conv_out = torch.nn.Conv2d(width, out_channels, 1)


class WithConstant(ShapedLikeIt):
    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 4):
        super().__init__(in_channels, out_channels, width)
        self.register_buffer("basis", torch.ones(2), persistent=False)


class WidensItself:
    def widen_to_rgba(self) -> str:
        return "widened by its own method"


def test_a_class_with_the_same_two_convolutions_widens():
    wide = widen_vae(ShapedLikeIt(width=6))
    assert isinstance(wide, ShapedLikeIt)
    assert wide.encoder.conv_in.weight.shape == (6, 4, 4, 4)
    assert (wide.config.in_channels, wide.config.out_channels, wide.config.width) == (4, 4, 6)


def test_a_codec_may_widen_itself():
    assert widen_vae(WidensItself()) == "widened by its own method"


@pytest.mark.parametrize(
    ("codec", "missing"),
    [
        (AutoencoderTiny, "AutoencoderTiny: it lacks encoder.conv_in (an ungrouped Conv2d, got NoneType)"),
        (lambda: torch.nn.Linear(1, 1), "config, from_config, config.in_channels"),
        (AsymmetricAutoencoderKL, "decoder.condition_encoder.layers.0.weight"),
        (WithConstant, "basis"),
    ],
)
def test_what_a_codec_lacks_is_named(codec, missing):
    with pytest.raises(TypeError) as refusal:
        widen_vae(codec())
    assert missing in str(refusal.value)
    assert "widen_to_rgba()" in str(refusal.value)


def test_an_rgba_vae_is_not_widened_twice():
    with pytest.raises(ValueError, match="3 channels in and 3 out, got 4 in and 4 out"):
        widen_vae(widen_vae(flux_like()))


# --- encoding and decoding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"shift_factor": None},
        {"shift_factor": 0.5, "scaling_factor": 2.0},
        {"latents_mean": [0.25, -1.0, 0.5, 0.0], "latents_std": [1.0, 2.0, 4.0, 8.0]},
    ],
    ids=["scale", "shift", "per_channel"],
)
@torch.no_grad()
def test_latents_are_normalised_and_back(changes):
    vae = widen_vae(sdxl_like(**changes))
    rgba_B4HW = pictures(channels=4)
    mode_BCHW = vae.encode(rgba_B4HW).latent_dist.mode()
    latents_BCHW = encode_rgba(vae, rgba_B4HW)
    config = vae.config
    mean = torch.tensor(config.latents_mean or [config.shift_factor or 0.0] * 4).view(1, 4, 1, 1)
    std = torch.tensor(config.latents_std or [1.0] * 4).view(1, 4, 1, 1)
    torch.testing.assert_close(latents_BCHW, (mode_BCHW - mean) / std * config.scaling_factor)
    torch.testing.assert_close(decode_rgba(vae, latents_BCHW), vae.decode(mode_BCHW).sample, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pictures_are_brought_to_the_vaes_own_type():
    vae = widen_vae(flux_like()).to(torch.bfloat16)
    assert encode_rgba(vae, pictures(channels=4)).dtype == torch.bfloat16
    assert decode_rgba(vae, torch.zeros(1, 16, 8, 8)).dtype == torch.bfloat16


def test_wrong_channels_are_refused():
    vae = widen_vae(flux_like())
    with pytest.raises(ValueError, match=r"rgba_B4HW must be \[B, 4, H, W\], got \[2, 3, 32, 32\]"):
        encode_rgba(vae, pictures())
    with pytest.raises(ValueError, match=r"the decoded picture must be \[B, 4, H, W\]"):
        decode_rgba(flux_like(), torch.zeros(1, 16, 8, 8))


def test_a_vae_that_normalises_otherwise_is_refused():
    vae = widen_vae(AutoencoderKLFlux2(**TINY, latent_channels=8))
    with pytest.raises(TypeError, match=r"AutoencoderKLFlux2 lacks config.scaling_factor"):
        encode_rgba(vae, pictures(channels=4))


@torch.no_grad()
def test_slicing_and_tiling_work_with_four_channels(rgb_vae):
    wide = widen_vae(rgb_vae)
    rgba_B4HW = pictures(size_px=64, channels=4)
    whole = encode_rgba(wide, rgba_B4HW)
    wide.enable_slicing()
    torch.testing.assert_close(encode_rgba(wide, rgba_B4HW), whole, rtol=1e-4, atol=1e-5)

    # Tiles of 32 of 64 pixels: the RGB VAE, tiled in the same way, says what is right.
    wide.enable_tiling()
    rgb_vae.enable_tiling()
    rgb_vae.enable_slicing()
    shift, scale = rgb_vae.config.shift_factor or 0.0, rgb_vae.config.scaling_factor
    latents_BCHW = encode_rgba(wide, rgba_B4HW)
    mode_BCHW = rgb_vae.encode(rgba_B4HW[:, :3]).latent_dist.mode()
    assert not torch.equal(latents_BCHW, whole)
    assert torch.equal(latents_BCHW, (mode_BCHW - shift) * scale)
    decoded_B4HW = decode_rgba(wide, latents_BCHW)
    torch.testing.assert_close(decoded_B4HW[:, :3], rgb_vae.decode(latents_BCHW / scale + shift).sample)
    torch.testing.assert_close(decoded_B4HW[:, 3], torch.ones(2, 64, 64))  # blended tiles: ones to a rounding


# --- learning ---------------------------------------------------------------------------------------------------


def test_gradients_reach_the_new_column_and_the_new_row(rgb_vae):
    wide = widen_vae(rgb_vae)
    rgba_B4HW = pictures(channels=4)
    (decode_rgba(wide, encode_rgba(wide, rgba_B4HW)) - rgba_B4HW).square().mean().backward()
    assert wide.encoder.conv_in.weight.grad[:, 3].abs().max() > 0
    assert wide.decoder.conv_out.weight.grad[3].abs().max() > 0
    assert wide.decoder.conv_out.bias.grad[3] != 0


def test_a_few_steps_teach_it_alpha():
    wide = widen_vae(flux_like()).train()
    yy, xx = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    discs = torch.stack([xx + shift for shift in (-0.4, 0.0, 0.4)]).square() + yy.square() < 0.3
    rgba_B4HW = gray_where_invisible(torch.cat([pictures(3), discs[:, None] * 2.0 - 1.0], dim=1))
    optimizer = torch.optim.SGD(wide.parameters(), lr=0.02, momentum=0.9)
    errors = []
    for _ in range(60):
        decoded_B4HW = decode_rgba(wide, encode_rgba(wide, rgba_B4HW))
        errors.append((decoded_B4HW[:, 3] - rgba_B4HW[:, 3]).abs().mean().item() / 2)
        optimizer.zero_grad()
        (decoded_B4HW - rgba_B4HW).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(wide.parameters(), 1.0)
        optimizer.step()
    # Beyond the share of invisible pixels that "opaque everywhere" starts with, and beyond any constant alpha.
    constant = min(discs.float().mean().item(), 1 - discs.float().mean().item())
    assert errors[0] == pytest.approx(1 - discs.float().mean().item(), abs=1e-6)
    assert errors[-1] < 0.5 * constant


# --- values -----------------------------------------------------------------------------------------------------

SIZES_BHW = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6)
RGBA_PICTURES = hnp.arrays(np.uint8, SIZES_BHW.map(lambda size_BHW: (*size_BHW, 4)))


def signed(rgba_BHW4: torch.Tensor) -> torch.Tensor:
    """A training target of uint8 RGBA, as data loading makes it."""
    return gray_where_invisible(rgba_BHW4.permute(0, 3, 1, 2).float() / 127.5 - 1.0)


@given(RGBA_PICTURES)
def test_colour_is_gray_under_alpha_0_and_straight_under_any_other(rgba_BHW4: np.ndarray):
    there = signed(torch.from_numpy(rgba_BHW4)).numpy().transpose(0, 2, 3, 1)
    invisible = rgba_BHW4[..., 3] == 0
    assert (there[invisible, :3] == 0.0).all() and (there[invisible, 3] == -1.0).all()
    straight = rgba_BHW4[~invisible] / np.float32(127.5) - np.float32(1.0)
    assert np.array_equal(there[~invisible], straight)
    assert np.abs(there).max() <= 1.0


def test_ends_and_opaque():
    values = torch.tensor([[[[0, 255, 0, 255], [9, 9, 9, 0]]]], dtype=torch.uint8)
    assert signed(values)[0, :, 0, 0].tolist() == [-1.0, 1.0, -1.0, 1.0]
    assert signed(values)[0, :, 0, 1].tolist() == [0.0, 0.0, 0.0, -1.0]


def test_graying_keeps_gradients_where_colour_is_seen():
    rgba_B4HW = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [-1.0, -0.99]]).view(1, 4, 1, 2).requires_grad_()
    grayed = gray_where_invisible(rgba_B4HW)
    grayed[:, :3].sum().backward()
    assert grayed[0, 0, 0].tolist() == [0.0, 0.5]
    assert rgba_B4HW.grad[0, 0, 0].tolist() == [0.0, 1.0]


# --- drift ------------------------------------------------------------------------------------------------------


def test_a_new_rgba_vae_has_not_drifted(rgb_vae):
    drift = opaque_drift(widen_vae(rgb_vae), rgb_vae, pictures(3))
    assert (drift.latent_mse, drift.alpha_mae) == (0.0, 0.0)
    # Three of four channels lie apart in memory, so their mean is summed in another order than that of three.
    assert abs(drift.psnr_loss_db) < 1e-6
    assert drift.is_acceptable
    assert 0 < drift.psnr_rgb_db < 100


def test_drift_in_the_encoder_shows_in_the_latents_and_an_alpha_error_as_its_share():
    rgb_vae = flux_like()
    wide = widen_vae(rgb_vae)
    with torch.no_grad():
        wide.encoder.conv_in.weight[:, 3] = 0.5
        wide.decoder.conv_out.bias[3] = 0.5  # alpha 0.75 on a scale of 0 to 1
    drift = opaque_drift(wide, rgb_vae, pictures(2))
    assert drift.latent_mse > 0
    assert drift.psnr_loss_db != 0
    assert drift.alpha_mae == pytest.approx(0.25)


def test_a_worse_decoder_is_refused():
    rgb_vae = flux_like()
    wide = widen_vae(rgb_vae)
    with torch.no_grad():
        wide.decoder.conv_out.bias[:3] += 1.0
    drift = opaque_drift(wide, rgb_vae, pictures(2))
    assert drift.latent_mse == 0 and drift.psnr_loss_db > 0.3 and not drift.is_acceptable


def test_drift_is_the_mean_over_pictures():
    rgb_vae = flux_like()
    wide = widen_vae(rgb_vae)
    with torch.no_grad():
        wide.encoder.conv_in.weight[:, 3] = 0.5
    x_B3HW = torch.cat([pictures(1), torch.full((1, 3, 32, 32), 0.25)])
    both = opaque_drift(wide, rgb_vae, x_B3HW)
    single = [opaque_drift(wide, rgb_vae, x_13HW) for x_13HW in x_B3HW.split(1)]
    assert both.psnr_loss_db == pytest.approx(sum(one.psnr_loss_db for one in single) / 2)
    assert both.latent_mse == pytest.approx(sum(one.latent_mse for one in single) / 2)


def test_drift_measures_psnr_as_the_textbook_does():
    rgb_vae = flux_like()
    x_B3HW = pictures(1)
    with torch.no_grad():
        decoded = rgb_vae(x_B3HW).sample.clamp(-1, 1).numpy()
    truth = x_B3HW.numpy()
    mse_of_unit_range = np.mean(((decoded - truth) / 2) ** 2)
    drift = opaque_drift(widen_vae(rgb_vae), rgb_vae, x_B3HW)
    assert drift.psnr_rgb_db == pytest.approx(-10 * np.log10(mse_of_unit_range), abs=1e-3)


def test_the_limit_is_three_tenths_of_a_decibel():
    assert OpaqueDrift(0.0, 40.0, 39.7 + 1e-9, 0.0).is_acceptable
    assert not OpaqueDrift(0.0, 40.0, 39.69, 0.0).is_acceptable


def test_drift_of_odd_sizes_and_of_nothing_is_refused():
    rgb_vae = flux_like()
    with pytest.raises(ValueError, match=r"of \[33, 33\] pixels decode to \[32, 32\]; pad them"):
        opaque_drift(widen_vae(rgb_vae), rgb_vae, pictures(1, size_px=33))
    with pytest.raises(ValueError, match="at least one picture, got 0"):
        opaque_drift(widen_vae(rgb_vae), rgb_vae, torch.zeros(0, 3, 32, 32))


def test_haze_goes_and_what_lets_light_through_stays():
    alpha = torch.tensor([0.0, 4 / 255, 8 / 255, 9 / 255, 0.5, 246 / 255, 247 / 255, 1.0])
    rgba = torch.cat([torch.full((3, 8), 0.3), alpha[None]]).reshape(1, 4, 1, 8)
    cleared = without_haze(rgba)
    assert torch.equal(cleared[:, :3], rgba[:, :3])
    wanted = torch.tensor([0.0, 0.0, 0.0, 9 / 255, 0.5, 246 / 255, 1.0, 1.0])
    torch.testing.assert_close(cleared[0, 3, 0], wanted, rtol=0, atol=1e-7)
