"""Models of bases without weights, on torch's meta device: what is counted before anything is loaded."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import nn

from decoupage.adapter import AdapterConfig, adapt, make_fusion, trainable
from decoupage.bases import find_base
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
FLUX_CLIP: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
"""FLUX.1's smaller text encoder, the text half of CLIP ViT-L/14; the class's defaults are the rest of it."""
FLUX_T5: dict[str, Any] = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
}
"""FLUX.1's larger text encoder, the encoder half of T5 1.1 XXL, from its published config.json."""


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


def text_encoders_without_weights(base: Base, source: str | None) -> dict[str, Any]:
    """A base's text encoders on the meta device, by component; empty for a base that knows no text."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    clip, t5 = (CLIPTextModel, CLIPTextConfig, FLUX_CLIP), (T5EncoderModel, T5Config, FLUX_T5)
    found = {}
    for name, (kind, config, published) in {"text_encoder": clip, "text_encoder_2": t5}.items():
        if name in base.text_parts:
            stored = _stored_config(base, source, name)
            with torch.device("meta"):
                found[name] = kind(config.from_pretrained(stored) if stored else config(**published))
    return found


def _stored_config(base: Base, source: str | None, component: str) -> str | None:
    folder = base.weights(source).find()
    path: Path | None = folder / component / "config.json" if folder else None
    return str(path) if path and path.is_file() else None


# ---- sizes


@dataclass(frozen=True)
class Size:
    """The sizes of an adapted network that decide its memory.

    Attributes:
        num_linear, num_other: frozen parameters of its linear layers, which quantisation reaches, and all others.
        num_trained: trained ones, with the fusion's.
        num_blocks, num_double: number of blocks, and of those among them that have separate weights for the text.
        width: width of a block.
        block_linear, block_trained: frozen and trained parameters of the largest block.
    """

    num_linear: int
    num_other: int
    num_trained: int
    num_blocks: int
    num_double: int
    width: int
    block_linear: int
    block_trained: int


@cache
def network_size(adapter: AdapterConfig, source: str | None = None) -> Size:
    """The `Size` of an adapted network with its fusion, counted on the meta device."""
    base = find_base(adapter.base)
    network = network_without_weights(base, source)
    projection = getattr(network, base.input_projection)
    num_all = sum(parameter.numel() for parameter in network.parameters())
    linears = [module for module in network.modules() if isinstance(module, nn.Linear) and module is not projection]
    num_linear = sum(module.weight.numel() for module in linears)
    repeated = blocks(network)
    largest = max(repeated, key=num_parameters)
    block_linear = num_parameters(largest)
    with torch.device("meta"):
        adapt(network, base, adapter)
        fusion = make_fusion(base, adapter)
    num_trained = sum(parameter.numel() for parameter in trainable(network))
    num_trained += num_parameters(fusion) if fusion else 0
    return Size(
        num_linear=num_linear,
        num_other=num_all - num_linear,
        num_trained=num_trained,
        num_blocks=len(repeated),
        num_double=len(network.transformer_blocks),
        width=network.inner_dim,
        block_linear=block_linear,
        block_trained=num_parameters(largest) - block_linear,
    )


def num_parameters(module: nn.Module) -> int:
    """Number of a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def blocks(network: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a diffusers network, in the order in which it runs them.

    Raises:
        ValueError: the network names no repeated blocks.
    """
    kinds = getattr(network, "_repeated_blocks", None) or ()
    found = [module for module in network.modules() if type(module).__name__ in kinds]
    if not found:
        raise ValueError(f"{type(network).__name__} names no repeated blocks")
    return found


def sequence_tokens(adapter: AdapterConfig) -> int:
    """Number of tokens that a block takes of one picture of the adapter's size, both halves."""
    base = find_base(adapter.base)
    rows, columns = base.grid(adapter.size_px, adapter.size_px)
    picture = rows * columns
    given = picture if base.context == "sequence" else 0
    if adapter.mode == "joint":
        return base.text_tokens + 2 * picture + given
    return 2 * (base.text_tokens + picture + given)
