"""The RGBA VAE: a picture VAE widened to a fourth channel, alpha (the AlphaVAE recipe, o0o0o00o0/AlphaVAE).

Here: widening, encoding and decoding RGBA, and how far a widened VAE has moved from the one it came from. Not here:
the value range (`rgba_values.py`), losses and steps (`training`), reading and padding of pictures and the bleeding of
colour into files (`decoupage.images`).

Values are in [-1, 1]: colour is straight (not premultiplied), alpha -1 is invisible, +1 is opaque.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from decoupage.rgba_values import check_channels

MAX_OPAQUE_PSNR_LOSS_DB = 0.3
"""PSNR that a trained RGBA VAE may lose on opaque pictures against the RGB VAE it came from."""

_PSNR_CEILING_DB = 100.0  # a perfect reconstruction would be infinite, and infinite minus infinite is no difference


@runtime_checkable
class WidensToRgba(Protocol):
    """A VAE that can widen itself; `widen_vae` then uses its method."""

    def widen_to_rgba(self) -> Any:
        """Return a new VAE with four channels in and out, the same latents at start, and alpha +1."""
        ...


@dataclass(frozen=True)
class OpaqueDrift:
    """Difference of an RGBA VAE from its RGB VAE on opaque pictures; each figure is a mean over the pictures."""

    latent_mse: float
    """Mean squared difference of the normalised latents (posterior modes)."""
    psnr_rgb_db: float
    """PSNR of the RGB VAE's reconstruction; peak to peak 2, values clipped to [-1, 1], at most 100 dB a picture."""
    psnr_rgba_db: float
    """PSNR of the colour that the RGBA VAE reconstructs, measured in the same way."""
    alpha_mae: float
    """Mean absolute error of the decoded alpha, as a share of the full range: 0 is opaque and right, 1 is invisible."""

    @property
    def psnr_loss_db(self) -> float:
        """PSNR that opaque pictures lose by the widened VAE, in dB (negative: they gain)."""
        return self.psnr_rgb_db - self.psnr_rgba_db

    @property
    def is_acceptable(self) -> bool:
        """Whether the loss is within `MAX_OPAQUE_PSNR_LOSS_DB`."""
        return self.psnr_loss_db <= MAX_OPAQUE_PSNR_LOSS_DB


# --- widening ---------------------------------------------------------------------------------------------------


def widen_vae(vae: AutoencoderKL) -> AutoencoderKL:
    """Make an RGBA VAE of an RGB VAE: four channels in and out, everything else copied bit for bit.

    At start it encodes a picture to the RGB VAE's latent whatever its alpha (the new input column is zero), and
    decodes the RGB VAE's colour with alpha exactly +1 (the new output row is zero, its bias one). Where torch takes
    another kernel for four output channels than for three (small pictures on the CPU, one at a time), the decoded
    colour agrees to the last rounding instead of bit for bit: about 1e-6.

    The result is of the same class, with the new channel counts in its config, so the class's own `save_pretrained`
    and `from_pretrained` serve it. It is a new model: in eval mode, every parameter trainable, on the device and in
    the type of the old one, sharing no tensor with it.

    A VAE with a method `widen_to_rgba()` is asked to widen itself. Any other class must look like `AutoencoderKL`:
    a config with `in_channels` and `out_channels`, `from_config`, and Conv2d layers `encoder.conv_in` and
    `decoder.conv_out`.

    Raises:
        TypeError: The class is neither; the message names what is missing.
        ValueError: The VAE does not have three channels in and out.
    """
    if isinstance(vae, WidensToRgba):
        return vae.widen_to_rgba()
    _check_widenable(vae)
    # Private entries say which values were defaults, and from_config would put those defaults back.
    config = {name: value for name, value in vae.config.items() if not name.startswith("_")}
    # Built without memory and then handed its tensors: no random numbers are drawn for weights that are replaced.
    with torch.device("meta"):
        wide = type(vae).from_config({**config, "in_channels": 4, "out_channels": 4})
    tensors = _widened_tensors(vae)
    _check_fits(wide, tensors)
    wide.load_state_dict(tensors, assign=True)
    return wide.eval()


def _widened_tensors(vae: AutoencoderKL) -> dict[str, Tensor]:
    tensors = {name: tensor.detach().clone() for name, tensor in vae.state_dict().items()}
    column_in, row_out, bias_out = "encoder.conv_in.weight", "decoder.conv_out.weight", "decoder.conv_out.bias"
    tensors[column_in] = torch.cat([tensors[column_in], torch.zeros_like(tensors[column_in][:, :1])], dim=1)
    tensors[row_out] = torch.cat([tensors[row_out], torch.zeros_like(tensors[row_out][:1])])
    tensors[bias_out] = torch.cat([tensors[bias_out], torch.ones_like(tensors[bias_out][:1])])
    return tensors


def _check_widenable(vae: Any) -> None:
    missing = [name for name in ("config", "from_config", "state_dict") if not hasattr(vae, name)]
    config = getattr(vae, "config", {})
    missing += [f"config.{name}" for name in ("in_channels", "out_channels") if name not in config]
    for path in ("encoder.conv_in", "decoder.conv_out"):
        half, name = path.split(".")
        layer = getattr(getattr(vae, half, None), name, None)
        if not isinstance(layer, nn.Conv2d) or layer.groups != 1:
            missing.append(f"{path} (an ungrouped Conv2d, got {type(layer).__name__})")
        elif path == "decoder.conv_out" and layer.bias is None:
            missing.append("decoder.conv_out.bias")
    if missing:
        raise TypeError(
            f"widen_vae cannot widen {type(vae).__name__}: it lacks {', '.join(missing)}; "
            "give it a method widen_to_rgba() that returns the widened VAE"
        )
    num_in, num_out = config["in_channels"], config["out_channels"]
    if (num_in, num_out) != (3, 3):
        raise ValueError(f"widen_vae needs a VAE with 3 channels in and 3 out, got {num_in} in and {num_out} out")


def _check_fits(wide: AutoencoderKL, tensors: dict[str, Tensor]) -> None:
    """Refuse a class that uses the channel counts anywhere else, or holds tensors that its state_dict does not."""
    own = wide.state_dict()
    shapes = {name: own[name].shape if name in own else None for name in own.keys() | tensors.keys()}
    wrong = sorted(name for name, shape in shapes.items() if name not in tensors or tensors[name].shape != shape)
    wrong += sorted(name for name, _ in wide.named_buffers() if name not in own)
    if wrong:
        raise TypeError(
            f"widen_vae cannot widen {type(wide).__name__}: with four channels it also differs in {', '.join(wrong)}; "
            "give it a method widen_to_rgba() that returns the widened VAE"
        )


# --- encoding and decoding --------------------------------------------------------------------------------------


def encode_rgba(vae: AutoencoderKL, rgba_B4HW: Tensor) -> Tensor:
    """Encode RGBA in [-1, 1] to normalised latents [B, C, h, w], the posterior's mode, in the RGBA VAE's own type.

    Colour is straight; `rgba_values.gray_where_invisible` says which colour is under alpha 0.
    """
    check_channels("rgba_B4HW", rgba_B4HW, 4)
    return _encode(vae, rgba_B4HW)


def decode_rgba(vae: AutoencoderKL, latents_BCHW: Tensor) -> Tensor:
    """Decode normalised latents to RGBA [B, 4, H, W], straight colour, as the VAE gives it: not clipped to [-1, 1]."""
    rgba_B4HW = _decode(vae, latents_BCHW)
    check_channels("the decoded picture", rgba_B4HW, 4)
    return rgba_B4HW


def _encode(vae: AutoencoderKL, x_BCHW: Tensor) -> Tensor:
    latents_BCHW = vae.encode(x_BCHW.to(_dtype(vae))).latent_dist.mode()
    shift, scale = _normalisation(vae, latents_BCHW)
    return (latents_BCHW - shift) * scale


def _decode(vae: AutoencoderKL, latents_BCHW: Tensor) -> Tensor:
    shift, scale = _normalisation(vae, latents_BCHW)
    return vae.decode((latents_BCHW / scale + shift).to(_dtype(vae))).sample


def _normalisation(vae: AutoencoderKL, latents_BCHW: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """Shift and scale of normalised = (latent - shift) * scale; a few SDXL VAEs give both for each latent channel."""
    config = vae.config
    if "scaling_factor" not in config:
        raise TypeError(f"{type(vae).__name__} lacks config.scaling_factor, which normalises its latents")
    shift, scale = config.get("shift_factor") or 0.0, config["scaling_factor"]
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    if mean is None or deviation is None:
        return shift, scale
    per_channel = (1, -1, 1, 1)
    return latents_BCHW.new_tensor(mean).view(per_channel), scale / latents_BCHW.new_tensor(deviation).view(per_channel)


def _dtype(vae: AutoencoderKL) -> torch.dtype:
    return next(vae.parameters()).dtype


# --- drift ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def opaque_drift(rgba_vae: AutoencoderKL, rgb_vae: AutoencoderKL, pictures_B3HW: Tensor) -> OpaqueDrift:
    """Compare the two VAEs on opaque pictures in [-1, 1], one at a time, so that memory does not grow with B.

    Height and width must be multiples of the VAE's reduction (8 for FLUX.1).
    """
    check_channels("pictures_B3HW", pictures_B3HW, 3)
    if len(pictures_B3HW) == 0:
        raise ValueError("pictures_B3HW must hold at least one picture, got 0")
    figures = [_drift_of_one(rgba_vae, rgb_vae, picture_13HW) for picture_13HW in pictures_B3HW.split(1)]
    means = torch.tensor(figures, dtype=torch.float64).mean(dim=0).tolist()
    return OpaqueDrift(*means)


def _drift_of_one(rgba_vae: AutoencoderKL, rgb_vae: AutoencoderKL, picture_13HW: Tensor) -> tuple[float, ...]:
    opaque_14HW = torch.cat([picture_13HW, torch.ones_like(picture_13HW[:, :1])], dim=1)
    latent_rgb = _encode(rgb_vae, picture_13HW)
    latent_rgba = encode_rgba(rgba_vae, opaque_14HW)
    rgb_13HW, rgba_14HW = _decode(rgb_vae, latent_rgb).float(), decode_rgba(rgba_vae, latent_rgba).float()
    if rgb_13HW.shape != picture_13HW.shape:
        size, decoded = list(picture_13HW.shape[2:]), list(rgb_13HW.shape[2:])
        raise ValueError(f"pictures_B3HW of {size} pixels decode to {decoded}; pad them to what the VAE can hold")
    alpha_error = (1.0 - rgba_14HW[:, 3].clamp(-1.0, 1.0)) / 2.0
    return (
        (latent_rgba.float() - latent_rgb.float()).square().mean().item(),
        _psnr_db(rgb_13HW, picture_13HW),
        _psnr_db(rgba_14HW[:, :3], picture_13HW),
        alpha_error.mean().item(),
    )


def _psnr_db(decoded_BCHW: Tensor, truth_BCHW: Tensor) -> float:
    mse = (decoded_BCHW.clamp(-1.0, 1.0) - truth_BCHW.float()).square().mean().double()
    return min(_PSNR_CEILING_DB, (10.0 * torch.log10(4.0 / mse)).item())
