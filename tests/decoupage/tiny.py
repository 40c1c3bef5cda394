"""Tiny random-weight models of the families that the package adapts; the same classes, loaded the same way."""

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxKontextPipeline,
    FluxTransformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

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
    torch.manual_seed(0)
    alphabet = sorted(ByteLevel.alphabet())
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    clip = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        pad_token_id=len(words) - 1,
        projection_dim=32,
    )
    t5 = T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, relative_attention_num_buckets=8
    )
    return {
        "tokenizer": CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77),
        "text_encoder": CLIPTextModel(clip).eval(),
        "tokenizer_2": T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512),
        "text_encoder_2": T5EncoderModel(t5).eval(),
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
