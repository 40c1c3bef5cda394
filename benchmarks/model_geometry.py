"""The network that the model's benchmarks run: its real shape with random weights, and what goes into it.

What is counted and timed is described in `bench_model.py` and `model_timing.py`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from decoupage.adapter import AdapterConfig, adapt, trainable
from decoupage.bases import find_base
from decoupage.bases.spec import Base, Text
from decoupage.contexts import Contexts
from decoupage.fusion import MultiModalLatentFusion
from decoupage.geometry import FLUX_VAE
from decoupage.sequences import Condition, Mode, predict_layers

GUIDANCE = 1.0
FLUX_FILL = {
    "in_channels": 384,
    "out_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
"""FLUX.1-Fill [dev]'s transformer, from its published config.json."""


@dataclass(frozen=True)
class Geometry:
    """Sizes of a network and of one sample.

    Attributes:
        transformer, vae: arguments of diffusers' `FluxTransformer2DModel` and `AutoencoderKL`.
        size_px: side of the picture; text_tokens: of the prompt.
    """

    transformer: Mapping[str, Any] = field(default_factory=lambda: FLUX_FILL)
    vae: Mapping[str, Any] = field(default_factory=lambda: FLUX_VAE)
    size_px: int = 1024
    text_tokens: int = 512
    adapter: AdapterConfig = field(default_factory=AdapterConfig)

    def __post_init__(self) -> None:
        multiple = self.base.pixel_multiple
        if self.size_px < multiple or self.size_px % multiple:
            raise ValueError(f"size_px must be a multiple of {multiple}, got {self.size_px}")

    @property
    def base(self) -> Base:
        """Of the adapter."""
        return find_base(self.adapter.base)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of one picture's tokens."""
        return self.base.grid(self.size_px, self.size_px)


@dataclass(frozen=True)
class Sample:
    """Noisy tokens [1, N, token_dim], the same for both halves, and the network's other inputs."""

    noisy_BND: Tensor
    condition: Condition
    sigma_B: Tensor


def make_network(geometry: Geometry, device: str, dtype: torch.dtype, adapter_dtype: torch.dtype) -> nn.Module:
    """An adapted network with random weights, made on its device."""
    with made_on(device, dtype):
        network = FluxTransformer2DModel(**geometry.transformer)
        adapt(network, geometry.base, geometry.adapter)
    for parameter in trainable(network):
        parameter.data = parameter.data.to(adapter_dtype)
    return network


def make_fusion(geometry: Geometry, device: str, dtype: torch.dtype) -> MultiModalLatentFusion:
    """The fusion module of the adapter, with random weights."""
    config = geometry.adapter
    with made_on(device, dtype):
        return MultiModalLatentFusion(
            token_dim=geometry.base.token_dim,
            dim=config.fusion_dim,
            num_latents=config.num_latents,
            modalities=config.maps,
            direct_queries=config.direct_queries,
        ).eval()


def make_text(geometry: Geometry) -> Text:
    """A prompt's embedding, random, on the default device and of the default type."""
    length, shape = geometry.text_tokens, geometry.transformer
    tokens_BLD = torch.randn(1, length, shape["joint_attention_dim"])
    return Text(tokens_BLD, torch.randn(1, shape["pooled_projection_dim"]), torch.zeros(length, 3))


def make_sample(geometry: Geometry, device: str, dtype: torch.dtype) -> Sample:
    """Random tokens of one picture: a micro-batch of 1."""
    base, (rows, columns) = geometry.base, geometry.grid
    with made_on(device, dtype):
        noisy_BND = torch.randn(1, rows * columns, base.token_dim)
        context_BNK = torch.randn(1, rows * columns, base.context_dim)
        contexts = Contexts(context_BNK, context_BNK, None)
        condition = Condition(contexts, noisy_BND, make_text(geometry), geometry.grid)
        return Sample(noisy_BND, condition, torch.full((1,), 0.5))


def forward(geometry: Geometry, network: nn.Module, sample: Sample, mode: Mode) -> tuple[Tensor, Tensor]:
    """The product's own call of the network over both halves."""
    noisy, sigma = sample.noisy_BND, sample.sigma_B
    return predict_layers(geometry.base, network, noisy, noisy, sample.condition, sigma, GUIDANCE, mode)


def backward(network: nn.Module, predicted: tuple[Tensor, Tensor]) -> None:
    """As in training, with a loss of the same shape; the gradients are dropped."""
    background, foreground = predicted
    (background.float().square().mean() + foreground.float().square().mean()).backward()
    network.zero_grad(set_to_none=True)


@contextmanager
def made_on(device: str, dtype: torch.dtype) -> Iterator[None]:
    """New tensors are of this type and on this device: 12 G parameters are never held in fp32 or moved."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def count_parameters(network: nn.Module, base: Base) -> dict[str, int]:
    """How many modules carry a LoRA, and how many parameters LoRA and projection train."""
    lora = {name: parameter for name, parameter in network.named_parameters() if ".lora_" in name}
    projection = getattr(network, base.input_projection)
    return {
        "lora_modules": sum(".lora_A." in name for name in lora),
        "lora_parameters": sum(parameter.numel() for parameter in lora.values()),
        "projection_parameters": sum(p.numel() for p in projection.parameters() if p.requires_grad),
    }
