"""How much memory a run of the RGBA VAE takes at its peak, counted on tensors without contents."""

from functools import cache
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from decoupage.bases import find_base
from decoupage.geometry import vae_without_weights
from decoupage.memory import GIGA
from decoupage.rgba_vae import widen_vae
from training.kept import Kept, counting, kept_bytes
from training.losses import over
from training.memory import FP32, MemoryEstimate, learner_parts, number_bytes
from training.rgba_vae.config import RgbaVaeConfig
from training.rgba_vae.losses import reconstruction_loss
from training.rgba_vae.networks import PatchDiscriminator, RgbaAutoencoder

_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
"""Channels of the layers that LPIPS compares; 0 = pooling."""


def estimate(
    config: RgbaVaeConfig, source: str | None = None, on_gpu: bool = True, num_processes: int = 1
) -> MemoryEstimate:
    """Peak memory of each process. `base` holds what is frozen: the RGB VAE, and LPIPS where it takes part.

    The discriminator's weights are counted with the VAE's, and the averages are the VAE's alone.
    """
    num_vae, num_rgb = num_parameters(config.base, source)
    num_perceptual = _count(_vgg16()) if config.weights.perceptual else 0
    learned = learner_parts(config, num_trained(config, source), num_processes)
    averages = num_vae * FP32 / GIGA if config.ema_decay else 0.0
    bf16 = number_bytes(config, on_gpu) < FP32
    once = _activations(config.base, source, config.data.size_px, bf16, bool(config.compute.checkpoint_every_blocks))
    beside = _beside(config.data.size_px, bf16, config.has_adversary, bool(config.weights.perceptual))
    return MemoryEstimate(
        base=(num_rgb + num_perceptual) * FP32 / GIGA,
        activations=config.batch.micro_batch * (once + beside) / GIGA,
        **(learned | {"averages": averages}),
    )


@cache
def num_parameters(base: str, source: str | None = None) -> tuple[int, int]:
    """Number of parameters of a base's VAE with four channels, and with three."""
    with torch.device("meta"):
        rgb = vae_without_weights(find_base(base), source)
        return _count(widen_vae(rgb)), _count(rgb)


def num_trained(config: RgbaVaeConfig, source: str | None = None) -> int:
    """Number of trained parameters: the VAE's, and the discriminator's where there is one."""
    num_adversary = _count(PatchDiscriminator()) if config.has_adversary else 0
    return num_parameters(config.base, source)[0] + num_adversary


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@cache
def _activations(base: str, source: str | None, size_px: int, bf16: bool, recomputed: bool) -> float:
    """Bytes that a sample's encoding, decoding and reconstruction loss keep.

    Recomputed, each block of encoder and decoder keeps its input, and one block at a time all the rest.
    """
    with FakeTensorMode():
        vae = widen_vae(vae_without_weights(find_base(base), source)).train()
        target = torch.zeros(1, 4, size_px, size_px)
        blocks = [
            *getattr(vae.encoder, "down_blocks", ()),
            *getattr(vae.decoder, "up_blocks", ()),
            *(part.mid_block for part in (vae.encoder, vae.decoder) if hasattr(part, "mid_block")),
        ]
        with counting(vae, bf16=bf16) as kept:
            own = _by_block(blocks, kept)
            decoded = RgbaAutoencoder(vae)(target).decoded_B4HW
            reconstruction_loss(decoded.float(), target)
            num_bytes = kept.num_bytes
    if not (recomputed and own):
        return float(num_bytes)
    return num_bytes - sum(saved for saved, _ in own) + sum(given for _, given in own) + max(saved for saved, _ in own)


def _by_block(blocks: list[nn.Module], kept: Kept) -> list[tuple[int, int]]:
    """Bytes that each block keeps, and those of its input; filled in while the blocks are called."""
    own: list[tuple[int, int]] = []
    before: list[int] = []

    def entered(_: nn.Module, given: tuple[Any, ...]) -> None:
        before.append(kept.num_bytes)

    def left(_: nn.Module, given: tuple[Any, ...], __: Any) -> None:
        own.append((kept.num_bytes - before.pop(), given[0].untyped_storage().nbytes()))

    for block in blocks:
        block.register_forward_pre_hook(entered)
        block.register_forward_hook(left)
    return own


@cache
def _beside(size_px: int, bf16: bool, adversary: bool, perceptual: bool) -> float:
    """Bytes that judging one decoded sample keeps: by the discriminator, and by LPIPS over black and over white.

    LPIPS is not a module of the run, so autocast does not affect it: it computes in fp32.
    """
    num_bytes = 0
    with FakeTensorMode():
        decoded = torch.zeros(1, 4, size_px, size_px, requires_grad=True)
        if adversary:
            judge = PatchDiscriminator()
            num_bytes += kept_bytes(lambda: judge(decoded), judge, bf16=bf16)
        if perceptual:
            network, plain = _vgg16().requires_grad_(requires_grad=False), torch.zeros(1, 3, size_px, size_px)
            num_bytes += 2 * kept_bytes(lambda: network(over(decoded, plain)), network, bf16=False)
    return float(num_bytes)


def _vgg16() -> nn.Module:
    """The convolutions of VGG16, by their sizes."""
    layers: list[nn.Module] = []
    channels = 3
    for width in _VGG16:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        channels = width or channels
    return nn.Sequential(*layers)
