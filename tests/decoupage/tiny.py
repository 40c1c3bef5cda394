"""Tiny random-weight models of the families that the package adapts; the same classes, loaded the same way."""

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxKontextPipeline,
    FluxTransformer2DModel,
)

from tests.text_encoders import clip, clip_tokenizer, t5, t5_tokenizer

torch.set_num_threads(1)


def flux_vae() -> AutoencoderKL:
    """FLUX.1's latent geometry: 16 channels at 1/8 resolution."""
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()


def flux_transformer(in_channels: int = 384) -> FluxTransformer2DModel:
    """One double and one single block."""
    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=in_channels,
        out_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    ).eval()


def _text() -> dict[str, object]:
    return {
        "tokenizer": clip_tokenizer(),
        "text_encoder": clip(),
        "tokenizer_2": t5_tokenizer(),
        "text_encoder_2": t5(),
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    }


def flux_fill() -> FluxFillPipeline:
    """A whole FLUX.1-Fill."""
    pipe = FluxFillPipeline(vae=flux_vae(), transformer=flux_transformer(384), **_text())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def flux_kontext() -> FluxKontextPipeline:
    """A whole FLUX.1-Kontext."""
    pipe = FluxKontextPipeline(vae=flux_vae(), transformer=flux_transformer(64), **_text())
    pipe.set_progress_bar_config(disable=True)
    return pipe
