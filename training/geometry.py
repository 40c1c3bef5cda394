"""Networks and VAEs of bases without weights, on torch's meta device: what is counted before anything is loaded."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel

from decoupage.bases.small import SmallFill
from decoupage.bases.small_codec import SmallCodec
from decoupage.bases.spec import Base

FLUX_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 16,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
"""FLUX.1's VAE, from its published config.json."""


def network_without_weights(base: Base, source: str | None) -> Any:
    """A base's network on the meta device, in the geometry of its stored config.json, else of the published one."""
    stored = _stored_config(base, source, base.network)
    with torch.device("meta"):
        if stored is not None:
            return FluxTransformer2DModel.from_config(FluxTransformer2DModel.load_config(stored))
        if isinstance(base, SmallFill):
            return base.new()[base.network]
        # The other defaults of diffusers' class are FLUX.1's.
        return FluxTransformer2DModel(
            in_channels=base.projection_dim, out_channels=base.token_dim, guidance_embeds=True
        )


def vae_without_weights(base: Base, source: str | None) -> Any:
    """A base's VAE on the default device, in the geometry of its stored config.json, else of the published one."""
    kind = SmallCodec if isinstance(base, SmallFill) else AutoencoderKL
    stored = _stored_config(base, source, "vae")
    if stored is not None:
        return kind.from_config(kind.load_config(stored))
    return SmallCodec() if isinstance(base, SmallFill) else AutoencoderKL(**FLUX_VAE)


def _stored_config(base: Base, source: str | None, component: str) -> str | None:
    folder = base.weights(source).find()
    path: Path | None = folder / component / "config.json" if folder else None
    return str(path) if path and path.is_file() else None
