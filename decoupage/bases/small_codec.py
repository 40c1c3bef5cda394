"""The small base's VAE: patches of 8 x 8 pixels by their leading components, with a small refiner.

Colour is coded by the principal components of photographs' patches, alpha by the lowest frequencies of the discrete
cosine transform, so that encoder and decoder are closed forms: a convolutional autoencoder of this size, trained for
minutes, is far worse. Its posterior has no spread; it has the interface of diffusers' AutoencoderKL, as far as the
package uses it. Weights that are published or packaged name the class `SmallCodec`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn
from torch.nn import functional

PATCH_PX = 8
_COLOURS = 3


class _Encoder(nn.Module):
    def __init__(self, in_channels: int, latent_channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, latent_channels, PATCH_PX, stride=PATCH_PX)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv_in(x_BCHW)


class _Decoder(nn.Module):
    """Patches back to pixels, then a refiner that starts as the identity and learns to smooth their seams."""

    def __init__(self, out_channels: int, latent_channels: int, hidden: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(latent_channels, out_channels * PATCH_PX**2, 1)
        self.refine_in = nn.Conv2d(out_channels, hidden, 3, padding=1)
        self.refine = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv_out = nn.Conv2d(out_channels + hidden, out_channels, 3, padding=1)
        with torch.no_grad():
            self.conv_out.weight.zero_()
            nn.init.zeros_(self.conv_out.bias)
            for channel in range(out_channels):
                self.conv_out.weight[channel, channel, 1, 1] = 1.0

    def forward(self, z_BCHW: Tensor) -> Tensor:
        pixels = functional.pixel_shuffle(self.patches(z_BCHW), PATCH_PX)
        hidden = functional.silu(self.refine(functional.silu(self.refine_in(pixels))))
        return self.conv_out(torch.cat([pixels, hidden], dim=1))


class SmallCodec(ModelMixin, ConfigMixin):
    """Encodes pictures [B, 3, H, W] in [-1, 1] to latents [B, latent_channels, H / 8, W / 8], and decodes these.

    Args:
        alpha_channels: how many of the latents, the last ones, are for alpha; those of a picture without alpha are 0.
        hidden: width of the refiner.
        scaling_factor: latents times this have unit variance; `shift_factor` as in AutoencoderKL.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        latent_channels: int = 64,
        alpha_channels: int = 24,
        hidden: int = 24,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = _Encoder(in_channels, latent_channels)
        self.decoder = _Decoder(out_channels, latent_channels, hidden)

    @apply_forward_hook  # Offloading moves a model when its forward is called, and this one is called by its halves.
    def encode(self, x_BCHW: Tensor) -> AutoencoderKLOutput:
        """The latents as a posterior without spread."""
        mean = self.encoder(x_BCHW)
        moments = torch.cat([mean, torch.zeros_like(mean)], dim=1)
        return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(moments, deterministic=True))

    @apply_forward_hook
    def decode(self, z_BCHW: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Pictures decoded from latents that are not normalised."""
        sample = self.decoder(z_BCHW)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    @torch.no_grad()
    def fit(self, pictures_B3HW: Sequence[Tensor]) -> None:
        """Set encoder and decoder to the principal components of the pictures' patches, in place.

        Args:
            pictures_B3HW: [B, 3, H, W] in [-1, 1], any number and sizes.
        """
        patches = torch.cat([_patches(pictures) for pictures in pictures_B3HW]).double()
        mean = patches.mean(dim=0)
        values, components = torch.linalg.eigh((patches - mean).T @ (patches - mean))
        number = self.config.latent_channels - self.config.alpha_channels
        kept = components.T.flip(0)[:number]
        # The sign of a component is arbitrary; fixed, so that equal pictures give equal weights everywhere.
        kept = kept * kept.gather(1, kept.abs().argmax(dim=1, keepdim=True)).sign()
        encoder, decoder = self.encoder.conv_in, self.decoder.patches
        for parameter in (*encoder.parameters(), *decoder.parameters()):
            parameter.zero_()
        encoder.weight[:number] = kept.reshape(-1, _COLOURS, PATCH_PX, PATCH_PX)
        encoder.bias[:number] = -kept @ mean
        decoder.weight[:, :number] = kept.T[..., None, None]
        decoder.bias.copy_(mean)
        variance = values[-number:].sum() / (len(patches) * number)
        self.register_to_config(scaling_factor=float(variance.rsqrt()))

    @torch.no_grad()
    def widen_to_rgba(self) -> "SmallCodec":
        """See `decoupage.rgba_vae.WidensToRgba`: alpha 1 is coded as 0, so opaque pictures keep their latents."""
        config = {name: value for name, value in self.config.items() if not name.startswith("_")}
        with torch.device(self.device):
            wide = SmallCodec(**{**config, "in_channels": _COLOURS + 1, "out_channels": _COLOURS + 1})
        for parameter in wide.parameters():
            parameter.data = parameter.data.to(self.dtype)
        number, pixels = self.config.latent_channels - self.config.alpha_channels, _COLOURS * PATCH_PX**2
        waves = torch.from_numpy(_waves(self.config.alpha_channels)).to(self.device, self.dtype)
        own, theirs = wide.encoder.conv_in, self.encoder.conv_in
        own.weight.zero_()
        own.weight[:, :_COLOURS] = theirs.weight
        own.weight[number:, _COLOURS] = waves
        own.bias.copy_(theirs.bias)
        own.bias[number:] -= waves.sum(dim=(1, 2))
        own, theirs = wide.decoder.patches, self.decoder.patches
        own.weight.zero_()
        own.weight[:pixels] = theirs.weight
        own.weight[pixels:, number:, 0, 0] = waves.flatten(1).T
        own.bias[:pixels] = theirs.bias
        own.bias[pixels:] = 1.0
        own, theirs = wide.decoder.refine_in, self.decoder.refine_in
        own.weight.zero_()
        own.weight[:, :_COLOURS] = theirs.weight
        own.bias.copy_(theirs.bias)
        wide.decoder.refine.load_state_dict(self.decoder.refine.state_dict())
        own, theirs = wide.decoder.conv_out, self.decoder.conv_out
        own.weight.zero_()
        own.bias.zero_()
        own.weight[:_COLOURS, :_COLOURS] = theirs.weight[:, :_COLOURS]
        own.weight[:_COLOURS, _COLOURS + 1 :] = theirs.weight[:, _COLOURS:]
        own.weight[_COLOURS, _COLOURS, 1, 1] = 1.0
        own.bias[:_COLOURS] = theirs.bias
        return wide.eval()


def _patches(pictures_B3HW: Tensor) -> Tensor:
    """Patches [num_patches, 3 * 64] of pictures, channel by channel as a convolution and a pixel shuffle order them."""
    return functional.pixel_unshuffle(pictures_B3HW, PATCH_PX).permute(0, 2, 3, 1).reshape(-1, _COLOURS * PATCH_PX**2)


def _waves(number: int) -> np.ndarray:
    """The lowest frequencies of the orthonormal cosine transform of a patch, float32 [number, 8, 8]."""
    places = np.arange(PATCH_PX)
    waves = np.cos(np.pi * places[:, None] * (2 * places + 1) / (2 * PATCH_PX)) * np.sqrt(2 / PATCH_PX)
    waves[0] /= np.sqrt(2)
    lowest = sorted((row + column, row, column) for row in places for column in places)[:number]
    return np.stack([np.outer(waves[row], waves[column]) for _, row, column in lowest]).astype(np.float32)
