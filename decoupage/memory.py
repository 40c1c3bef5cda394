"""What taking a picture apart takes of a card's memory and of the host's, computed before anything is loaded.

Weights and the results of operations are counted on torch's meta device, from the classes' configurations. Not counted:
fragmentation, workspaces of kernels, other programs on the card, for which `CONTEXT_GB` stands. All of it is computed;
nothing here was measured on a GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import nn

from decoupage.adapter import AdapterConfig, adapt
from decoupage.bases import find_base
from decoupage.bases.spec import Text
from decoupage.geometry import (
    blocks,
    network_size,
    network_without_weights,
    num_parameters,
    text_encoders_without_weights,
    vae_without_weights,
)
from decoupage.live import peak_bytes
from decoupage.placing import Placing

GIGA = 1e9
BYTES = {"int8": 1.0, "fp8": 1.0, "nf4": 0.516}
"""Bytes of a quantised weight, with its share of the scales (nf4: double quantisation)."""
CONTEXT_GB = 1.0
"""For the CUDA context, workspaces of kernels, a quantised weight while it is multiplied, and fragmentation; ours."""
HOST_GB = 1.0
"""For Python with its libraries, and pictures; ours."""
GROUPS_AT_A_TIME = 2
"""Blocks on the card with group offload: the one that computes, and the next one."""
USUAL = 1.1
"""Pictures of up to so many times the adapter's own area are of the usual size: a canvas is rounded up."""
_COUNTED_PX = 256
"""Side of the picture by which a VAE's results are counted; they grow with its area."""


@dataclass(frozen=True)
class Needs:
    """Peak memory in GB (1e9 bytes): of the card, and of the host's, without text encoders and with them."""

    gpu_gb: float
    gpu_prompt_gb: float
    host_gb: float
    host_prompt_gb: float


@dataclass(frozen=True)
class _Text:
    """Parameters of text encoders: quantised ones, all others, of the largest encoder, of the largest layer."""

    quantised: int = 0
    other: int = 0
    largest: int = 0
    largest_quantised: int = 0
    layer: int = 0


def needs(adapter: AdapterConfig, source: str | None, placing: Placing, number: int = 2) -> Needs:
    """Peak memory of one picture of the adapter's size.

    Args:
        source: folder or hub id of the base, whose geometry is read where it is here; None = the published one.
        number: bytes of a number of what is not quantised.
    """
    size, text = network_size(adapter, source), _text_size(adapter.base, source)
    quantised = BYTES.get(placing.quantise, number)
    network = size.num_linear * quantised + (size.num_other + size.num_trained) * number
    vaes = 2 * num_parameters(_vae(adapter.base, source)) * number
    encoders = text.quantised * quantised + text.other * number
    # Before the last step all of the network is at work, after it a VAE.
    step, coding = step_numbers(adapter, source) * number, coding_numbers(adapter, source) * number
    block = size.block_linear * quantised + size.block_trained * number
    outside, layer = _network_parts(adapter, source)
    if placing.offload == "none":
        without = network + vaes + max(step, coding)
        with_prompt = without + encoders
    else:
        held = {
            "model": network + vaes + step,
            "group": outside * number + GROUPS_AT_A_TIME * block + vaes + step,
            "sequential": layer * number + step,
        }[placing.offload]
        without = max(held, (0 if placing.offload == "sequential" else vaes) + coding)
        encoder = text.largest_quantised * quantised + (text.largest - text.largest_quantised) * number
        with_prompt = max(without, encoder if placing.offload == "model" else GROUPS_AT_A_TIME * text.layer * number)
    host = network + vaes
    return Needs(
        gpu_gb=without / GIGA + CONTEXT_GB,
        gpu_prompt_gb=with_prompt / GIGA + CONTEXT_GB,
        host_gb=host / GIGA + HOST_GB,
        host_prompt_gb=(host + encoders) / GIGA + HOST_GB,
    )


@cache
def step_numbers(adapter: AdapterConfig, source: str | None = None) -> float:
    """Numbers that the network's results hold at a time in one step, for one picture of the adapter's size.

    Blocks run one after another, so a network with one of each kind holds as much as a whole one.
    """
    base = find_base(adapter.base)
    config = dict(network_without_weights(base, source).config) | {"num_layers": 1, "num_single_layers": 1}
    with torch.device("meta"):
        network = type(network_without_weights(base, source)).from_config(config)
        adapt(network, base, adapter)
        nn.Module.to(network, torch.bfloat16)  # Diffusers' own would log that it may keep some layers in fp32.
        rows, columns = base.grid(adapter.size_px, adapter.size_px)
        halves, batch = (2, 1) if adapter.mode == "joint" else (1, 2)
        given = 1 if base.context == "sequence" else 0
        length = (halves + given) * rows * columns
        tokens, sigma = _empty(batch, length, adapter.input_dim(base)), _empty(batch)
        embedded = _empty(batch, base.text_tokens, config["joint_attention_dim"])
        pooled = _empty(batch, config["pooled_projection_dim"])
        text, ids = Text(embedded, pooled, _empty(base.text_tokens, 3)), _empty(length, 3)
        return _numbers(lambda: base.predict(network, tokens, ids, text, sigma, 1.0))


@cache
def coding_numbers(adapter: AdapterConfig, source: str | None = None) -> float:
    """Numbers that a VAE's results hold at a time while it encodes or decodes one picture of the adapter's size."""
    base, vae = find_base(adapter.base), _vae(adapter.base, source)
    picture = _empty(1, 3, _COUNTED_PX, _COUNTED_PX)
    latents = base.encode_mode(vae, picture)
    most = max(_numbers(lambda: base.encode_mode(vae, picture)), _numbers(lambda: base.decode(vae, latents)))
    return most * (adapter.size_px / _COUNTED_PX) ** 2


def decodes_in_tiles(adapter: AdapterConfig, num_pixels: int, released: int = 0) -> bool:
    """Whether a picture is to be encoded and decoded in tiles: it is larger than usual, and whole it would take more.

    More, that is, than the network's step, which has to fit in any case.

    Args:
        num_pixels: of the canvas that the model works on.
        released: bytes of the network's weights that leave the card before a picture is decoded.
    """
    if num_pixels <= USUAL * adapter.size_px**2:
        return False
    larger = replace(adapter, size_px=round(num_pixels**0.5))
    return coding_numbers(larger) * 2 > step_numbers(larger) * 2 + released


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta", dtype=torch.bfloat16)


def _numbers(call: Callable[[], Any]) -> float:
    return peak_bytes(call) / 2  # Counted in bf16, where some operations hold their results in fp32.


@cache
def _vae(base: str, source: str | None) -> nn.Module:
    with torch.device("meta"):
        return nn.Module.to(vae_without_weights(find_base(base), source), torch.bfloat16)


@cache
def _network_parts(adapter: AdapterConfig, source: str | None) -> tuple[int, int]:
    """Parameters of an adapted network outside its blocks, and of its largest layer."""
    base = find_base(adapter.base)
    network = network_without_weights(base, source)
    inside = sum(num_parameters(block) for block in blocks(network))
    return num_parameters(network) - inside, _largest_layer(network)


@cache
def _text_size(base: str, source: str | None) -> _Text:
    found = text_encoders_without_weights(find_base(base), source)
    if not found:
        return _Text()
    large = find_base(base).large_text_parts
    quantised = {
        name: sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
        for name, model in found.items()
        if name in large
    }
    number = {name: num_parameters(model) for name, model in found.items()}
    largest = max(number, key=lambda name: number[name])
    return _Text(
        quantised=sum(quantised.values()),
        other=sum(number.values()) - sum(quantised.values()),
        largest=number[largest],
        largest_quantised=quantised.get(largest, 0),
        layer=max(_largest_layer(model) for model in found.values()),
    )


def _largest_layer(model: nn.Module) -> int:
    return max(sum(own.numel() for own in module.parameters(recurse=False)) for module in model.modules())
