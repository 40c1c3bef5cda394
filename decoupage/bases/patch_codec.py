"""The tiny base's VAE: patches of 4 x 4 pixels as their leading principal components, with a small refiner.

Its posterior has no spread; it has the interface of diffusers' AutoencoderKL, as far as the package uses it. A
convolutional autoencoder of this size, trained for minutes, is far worse than principal components, which need no
training. Weights that are published or packaged name the class `PatchCodec`.
"""

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn
from torch.nn import functional

PATCH_PX = 4


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
        self.patches = nn.Conv2d(latent_channels, 3 * PATCH_PX**2, 1)
        self.refine_in = nn.Conv2d(3 + latent_channels, hidden, 3, padding=1)
        self.refine = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv_out = nn.Conv2d(3 + hidden, out_channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        assert self.conv_out.bias is not None
        nn.init.zeros_(self.conv_out.bias)
        with torch.no_grad():
            for channel in range(3):
                self.conv_out.weight[channel, channel, 1, 1] = 1.0

    def forward(self, z_BCHW: Tensor) -> Tensor:
        pixels = functional.pixel_shuffle(self.patches(z_BCHW), PATCH_PX)
        latents = functional.interpolate(z_BCHW, scale_factor=PATCH_PX, mode="nearest")
        hidden = functional.silu(self.refine_in(torch.cat([pixels, latents], dim=1)))
        hidden = functional.silu(self.refine(hidden))
        return self.conv_out(torch.cat([pixels, hidden], dim=1))


class Codec(ModelMixin, ConfigMixin):
    """Two halves, `encoder` and `decoder`, with the interface of diffusers' AutoencoderKL and no spread."""

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


class PatchCodec(Codec):
    """Encodes pictures [B, 3, H, W] in [-1, 1] to latents [B, 16, H / 4, W / 4], and decodes these.

    Args:
        hidden: width of the refiner.
        scaling_factor: latents times this have unit variance; `shift_factor` as in AutoencoderKL.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        latent_channels: int = 16,
        hidden: int = 32,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = _Encoder(in_channels, latent_channels)
        self.decoder = _Decoder(out_channels, latent_channels, hidden)

    @torch.no_grad()
    def fit(self, pictures_B3HW: Sequence[Tensor]) -> None:
        """Set encoder and decoder to the principal components of the pictures' patches, in place.

        Args:
            pictures_B3HW: [B, 3, H, W] in [-1, 1], any number and sizes.
        """
        patches = torch.cat([_patches(pictures) for pictures in pictures_B3HW]).double()
        mean = patches.mean(dim=0)
        _, values, components = torch.linalg.svd(patches - mean, full_matrices=False)
        kept = components[: self.config.latent_channels]
        # The sign of a component is arbitrary; fixed, so that equal pictures give equal weights everywhere.
        kept = kept * kept.gather(1, kept.abs().argmax(dim=1, keepdim=True)).sign()
        self.encoder.conv_in.weight.copy_(kept.reshape(-1, 3, PATCH_PX, PATCH_PX))
        self.encoder.conv_in.bias.copy_(-kept @ mean)
        self.decoder.patches.weight.copy_(kept.T[..., None, None])
        self.decoder.patches.bias.copy_(mean)
        variance = values[: len(kept)].square().sum() / (len(patches) * len(kept))
        self.register_to_config(scaling_factor=float(variance.rsqrt()))


def _patches(pictures_B3HW: Tensor) -> Tensor:
    """Patches [num_patches, 3 * 16] of pictures, channel by channel as a convolution and a pixel shuffle order them."""
    return functional.pixel_unshuffle(pictures_B3HW, PATCH_PX).permute(0, 2, 3, 1).reshape(-1, 3 * PATCH_PX**2)
