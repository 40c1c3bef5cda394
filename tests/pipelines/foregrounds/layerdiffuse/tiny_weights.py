"""Tiny random weights in the published layouts: bases as diffusers saves them, LayerDiffuse's files by name."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPConfig, CLIPTextModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from pipelines.config import GeneratedConfig
from pipelines.foregrounds.layerdiffuse import settings as names
from pipelines.foregrounds.layerdiffuse.decoder import TransparentDecoder
from pipelines.foregrounds.layerdiffuse.merge import attention_keys
from tests.text_encoders import clip, clip_tokenizer, t5, t5_tokenizer

torch.set_num_threads(1)

CHANNELS = (4, 4, 4, 4, 8, 8, 8)
SDXL_UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
"""SDXL's own configuration."""


def tiny_unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    tiny = {
        "sample_size": 8,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (2, 4),
        "transformer_layers_per_block": (1, 1),
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 32,
        "cross_attention_dim": 64,
    }
    return UNet2DConditionModel(**SDXL_UNET | tiny).eval()


def tiny_vae(latent_channels: int) -> AutoencoderKL:
    torch.manual_seed(0)
    flux = {"scaling_factor": 0.3611, "shift_factor": 0.1159, "use_quant_conv": False, "use_post_quant_conv": False}
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=64,
        **(flux if latent_channels == 16 else {"scaling_factor": 0.13025}),
    ).eval()


def tiny_decoder(latent_channels: int) -> TransparentDecoder:
    torch.manual_seed(0)
    decoder = TransparentDecoder(latent_channels, CHANNELS).eval()
    alpha = 0 if latent_channels == 4 else 3
    with torch.no_grad():
        # Vivid colours on a thin veil: noise that is solid would reach over all borders, and gates refuse that.
        decoder.conv_out.weight *= 6
        decoder.conv_out.bias += 0.5
        decoder.conv_out.weight[alpha] /= 30
        decoder.conv_out.bias[alpha] = 0.3
    return decoder


def object_decoder() -> TransparentDecoder:
    """A tiny decoder of SDXL whose alpha is one soft shape within the picture, another one for other latents.

    Nothing is taught. One feature is led around all that mixes features: it is constant, or nearly so by the latents,
    and loses some at the border in every convolution, whose surroundings are zeros. What is left of it is alpha.
    """
    decoder, carried = tiny_decoder(4), 3

    def average(conv: nn.Conv2d) -> None:
        conv.weight[carried] = 0.0
        conv.weight[carried, carried] = 1.0 / conv.weight[carried, carried].numel()
        conv.bias[carried] = 0.0

    def silence(layer: nn.Conv2d | nn.Linear, bias: float = 0.0) -> None:
        layer.weight[carried] = 0.0
        layer.bias[carried] = bias

    with torch.no_grad():
        silence(decoder.conv_in, bias=4.0)
        for module in decoder.modules():
            if isinstance(module, ResnetBlock2D):
                silence(module.conv2)
                if module.conv_shortcut is not None:
                    average(module.conv_shortcut)
            elif isinstance(module, Attention):
                silence(module.to_out[0])
            elif isinstance(module, Downsample2D | Upsample2D):
                average(module.conv)
        decoder.latent_conv_in.weight[carried] = 0.03
        decoder.latent_conv_in.bias[carried] = 0.0
        decoder.conv_out.weight[0] = 0.0
        decoder.conv_out.weight[0, carried, 1, 1] = 4.0
        decoder.conv_out.bias[0] = -0.5
    return decoder


def save_sdxl(folder: Path, half: bool = False) -> None:
    """A base in diffusers' layout, with SDXL's noise schedule; with `half` also in half precision, as `fp16`."""
    base = StableDiffusionXLPipeline(
        vae=tiny_vae(4),
        text_encoder=clip(),
        text_encoder_2=clip(CLIPTextModelWithProjection),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=tiny_unet(),
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        add_watermarker=False,
    )
    base.save_pretrained(folder)
    if half:
        base.to(torch.float16).save_pretrained(folder, variant="fp16")


def save_flux(folder: Path) -> None:
    """The same of FLUX.1."""
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=tiny_vae(16),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(),
        transformer=tiny_transformer(),
    ).save_pretrained(folder)


def tiny_transformer() -> FluxTransformer2DModel:
    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    ).eval()


def deltas(seed: int = 1) -> dict[str, torch.Tensor]:
    """Differences for every attention matrix of the tiny UNet, as float16."""
    unet, rng = tiny_unet(), torch.Generator().manual_seed(seed)
    matrices = unet.state_dict()
    return {key: (torch.randn(matrices[key].shape, generator=rng) * 0.1).half() for key in sorted(attention_keys(unet))}


def lora(network: nn.Module, targets: list[str], prefix: str) -> dict[str, torch.Tensor]:
    """A LoRA of random matrices under the names that diffusers saves."""
    network.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets, init_lora_weights=False))
    return {f"{prefix}.{key}": tensor.contiguous() for key, tensor in get_peft_model_state_dict(network).items()}


ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def save_layerdiffuse(folder: Path) -> None:
    """LayerDiffuse's own files, of all variants, under their published names."""
    folder.mkdir(parents=True)
    save_file(deltas(), folder / names.SDXL_DELTAS[1])
    save_file(lora(tiny_unet(), ATTENTION, "unet"), folder / names.SDXL_LORA[1])
    save_file(tiny_decoder(4).state_dict(), folder / names.SDXL_DECODER[1])
    save_file(lora(tiny_transformer(), ATTENTION, "transformer"), folder / names.FLUX_LORA[1])
    held = {f"decoder.{key}": tensor for key, tensor in tiny_decoder(16).state_dict().items()}
    torch.save(held | {"encoder.blocks.0.weight": torch.zeros(32, 4, 3, 3)}, folder / names.FLUX_DECODER[1])


def config(folder: Path, family: str = "sdxl", **changes: object) -> GeneratedConfig:
    """A profile's section that paints 64 px with weights that were saved by `save_all`."""
    values = {
        "generator": "layerdiffuse" if family == "sdxl" else "layerdiffuse_flux",
        "base": str(folder / family),
        "weights": str(folder / "layerdiffuse"),
        "prompts_per_category": 1,
        "size_px": 64,
        "num_steps": 3,
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 4,
    }
    return GeneratedConfig(**values | changes)


def save_all(folder: Path) -> Path:
    """Both bases and LayerDiffuse's files."""
    save_sdxl(folder / "sdxl")
    save_flux(folder / "flux")
    save_layerdiffuse(folder / "layerdiffuse")
    return folder


def save_checker(folder: Path, threshold: float) -> Path:
    """A tiny checker that refuses a picture whose similarity to any concept is above the threshold."""
    layers = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = layers | {"image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    checker = StableDiffusionSafetyChecker(CLIPConfig(projection_dim=8, vision_config=vision, text_config=layers))
    torch.nn.init.normal_(checker.concept_embeds)
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(2.0)
    checker.save_pretrained(folder)
    # The names of the published file, in which CLIP's tower stands in a module of its own.
    tensors = load_file(folder / "model.safetensors")
    own = {name: name.replace("vision_model.", "vision_model.vision_model.", 1) for name in tensors}
    published = {
        name if name.startswith("vision_model.vision_model.") else own[name]: tensor for name, tensor in tensors.items()
    }
    save_file(published, folder / "model.safetensors", metadata={"format": "pt"})
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
