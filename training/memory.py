"""How much memory a run takes at its peak, as an estimate, and which settings make it fit into less.

Weights, gradients, moments and averages are counted on torch's meta device, where nothing is allocated. The
activations that the forward pass keeps are estimated from the number of tokens: blocks x tokens x width x `KEPT`. Not
counted: fragmentation, other processes on the device, and buffers in which several processes exchange gradients (at
most once more the gradients). `benchmarks/bench_model.py` measures.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import nn

from decoupage.adapter import AdapterConfig, adapt, make_fusion, trainable
from decoupage.bases import find_base
from decoupage.bases.spec import Base
from decoupage.bases.tiny import TinyFill
from training.config import TrainingConfig, with_changes
from training.network import blocks

GIGA = 1e9
KEPT = {"eager": 22.3, "compiled": 17.0}
"""Numbers that a block keeps for its backward pass, as a multiple of tokens x width. Eager was counted (22 in a single
block, 23 in a double one; a test counts again); compiled is what remains where elementwise work is fused."""
LORA_INPUTS = 6
"""LoRA factors that a token passes in a block; each keeps `rank` numbers."""
OUTSIDE_BLOCKS = 4.5
"""The same multiple for the layers before and after the blocks."""
RESERVE_GB = 1.0
"""Memory for both VAEs, the CUDA context, kernels' workspaces."""
BYTES = {"int8": 1.0, "fp8": 1.0, "nf4": 0.516}
"""Bytes of a quantised weight, with its share of the scales (nf4: double quantisation)."""
FP32, BF16 = 4, 2


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak memory of one process by its use, in GB (1e9 bytes).

    Attributes:
        base: frozen weights; trained: trained weights in fp32, with gradients, moments and averages beside them.
        activations: those kept for the backward pass, and those of the largest block while it is recomputed.
    """

    base: float
    trained: float
    gradients: float
    moments: float
    averages: float
    activations: float
    reserve: float = RESERVE_GB

    @property
    def total_gb(self) -> float:
        """Sum of all parts, the memory at the peak."""
        return sum(getattr(self, part.name) for part in fields(self))

    def __str__(self) -> str:
        parts = ", ".join(f"{part.name} {getattr(self, part.name):.1f}" for part in fields(self))
        return f"about {self.total_gb:.0f} GB (an estimate: {parts})"


@dataclass(frozen=True)
class Suggestion:
    """Changes of a recipe by dotted key, and the memory in GB that the run needs with them."""

    changes: Mapping[str, Any]
    total_gb: float

    def __str__(self) -> str:
        changes = " and ".join(f"{key} = {value}" for key, value in self.changes.items())
        return f"with {changes} it needs about {self.total_gb:.0f} GB"


@dataclass(frozen=True)
class Size:
    """The sizes of an adapted network that decide its memory: numbers of parameters and of blocks, and their width."""

    num_linear: int
    num_other: int
    num_trained: int
    num_blocks: int
    width: int


def estimate(config: TrainingConfig, source: str | None = None, on_gpu: bool = True) -> MemoryEstimate:
    """Peak memory of a run.

    Args:
        source: hub id or folder of the base, whose geometry is read where it is at hand; None = the published one.
        on_gpu: else everything is computed in fp32.
    """
    size = network_size(config.adapter_config(), source)
    bf16 = on_gpu and config.compute.precision == "bf16"
    number = BF16 if bf16 else FP32
    moment_bytes = 2 if config.optimiser.name == "adamw8bit" else 2 * FP32
    trained = size.num_trained * FP32 / GIGA
    return MemoryEstimate(
        base=(size.num_linear * BYTES.get(config.compute.base_quantisation, number) + size.num_other * number) / GIGA,
        trained=trained,
        gradients=trained,
        moments=size.num_trained * moment_bytes / GIGA,
        averages=trained if config.ema_decay else 0.0,
        activations=_activations(config, size, number) / GIGA,
    )


def what_fits(
    config: TrainingConfig, free_gb: float, source: str | None = None, on_gpu: bool = True
) -> list[Suggestion]:
    """Changes that make a run fit: each by itself where one is enough, else several together; empty = none does.

    First those that change no result, then smaller number formats, then a smaller adapter.
    """

    def needed(changes: Mapping[str, Any]) -> float:
        return estimate(with_changes(config, changes), source, on_gpu).total_gb

    families = [list(family) for family in _savings(config, on_gpu)]
    alone = [[change for change in family if needed(change) <= free_gb] for family in families]
    single = [Suggestion(fitting[0], needed(fitting[0])) for fitting in alone if fitting]
    if single:
        return single
    together: dict[str, Any] = {}
    for family in families:
        together |= family[-1]
        if needed(together) <= free_gb:
            return [Suggestion(together, needed(together))]
    return []


@cache
def network_size(adapter: AdapterConfig, source: str | None = None) -> Size:
    """The `Size` of an adapted network with its fusion, counted on the meta device."""
    base = find_base(adapter.base)
    network = network_without_weights(base, source)
    projection = getattr(network, base.input_projection)
    num_all = sum(parameter.numel() for parameter in network.parameters())
    linears = [module for module in network.modules() if isinstance(module, nn.Linear) and module is not projection]
    num_linear = sum(module.weight.numel() for module in linears)
    num_blocks, width = len(blocks(network)), network.inner_dim
    with torch.device("meta"):
        adapt(network, base, adapter)
        fusion = make_fusion(base, adapter)
    num_trained = sum(parameter.numel() for parameter in trainable(network))
    num_trained += sum(parameter.numel() for parameter in fusion.parameters()) if fusion else 0
    return Size(num_linear, num_all - num_linear, num_trained, num_blocks, width)


def network_without_weights(base: Base, source: str | None) -> Any:
    """A base's network on the meta device, in the geometry of its stored config.json, else of the published one."""
    stored = _stored_config(base, source)
    with torch.device("meta"):
        if stored is not None:
            return FluxTransformer2DModel.from_config(FluxTransformer2DModel.load_config(stored))
        if isinstance(base, TinyFill):
            return base.new()[base.network]
        # The other defaults of diffusers' class are FLUX.1's.
        return FluxTransformer2DModel(
            in_channels=base.projection_dim, out_channels=base.token_dim, guidance_embeds=True
        )


def _stored_config(base: Base, source: str | None) -> str | None:
    folder = base.weights(source).find()
    path = folder / base.network / "config.json" if folder else None
    return str(path) if path and path.is_file() else None


def _activations(config: TrainingConfig, size: Size, number: int) -> float:
    """Activations in bytes: whole blocks, the inputs of those that are recomputed, and one of these at a time."""
    num_tokens = config.batch.micro_batch * _sequence_tokens(config)
    every = config.compute.checkpoint_every_blocks
    num_recomputed = -(-size.num_blocks // every) if every else 0
    kept = KEPT["compiled" if config.compute.compile else "eager"] * size.width + LORA_INPUTS * config.adapter.rank
    block, inputs = num_tokens * kept * number, num_tokens * size.width * number
    outside = num_tokens * OUTSIDE_BLOCKS * size.width * number
    # Autocast keeps a copy of each trained weight for the length of a pass.
    copies = size.num_trained * BF16 if number == BF16 and not config.compute.compile else 0
    at_once = block if num_recomputed else 0.0
    return (size.num_blocks - num_recomputed) * block + num_recomputed * inputs + at_once + outside + copies


def _sequence_tokens(config: TrainingConfig) -> int:
    """Number of tokens of one sample in a block."""
    base = find_base(config.adapter.base)
    rows, columns = base.grid(config.data.size_px, config.data.size_px)
    picture = rows * columns
    given = picture if base.context == "sequence" else 0
    if config.adapter.mode == "joint":
        return base.text_tokens + 2 * picture + given
    return 2 * (base.text_tokens + picture + given)


def _savings(config: TrainingConfig, on_gpu: bool) -> Iterator[list[dict[str, Any]]]:
    """Families of changes, each from the mildest to the strongest."""
    if config.batch.micro_batch > 1:
        yield [{"batch.micro_batch": 1, "batch.accumulation": config.batch.size}]
    now = config.compute.checkpoint_every_blocks
    if now != 1:
        yield [{"compute.checkpoint_every_blocks": every} for every in (3, 2, 1) if not now or every < now]
    if on_gpu and config.optimiser.name == "adamw":
        yield [{"optimiser.name": "adamw8bit"}]
    if on_gpu and config.compute.base_quantisation == "none":
        yield [{"compute.base_quantisation": form} for form in ("int8", "nf4")]
    if config.adapter.rank > 1:
        yield [{"adapter.rank": config.adapter.rank // 2}]
