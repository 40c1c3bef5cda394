"""What a run costs in time: operations of a sample, and hours by card, as estimates before any measurement.

Operations are those of matrix products and attention; a multiplication and an addition are two. Numbers marked as ours
are assumptions; `benchmarks/bench_model.py` measures what they stand for.
"""

from dataclasses import dataclass

from decoupage.bases import find_base
from decoupage.bases.small import SmallFill
from decoupage.geometry import network_size, sequence_tokens
from training.config import RunConfig, TrainingConfig
from training.memory import is_compiled, num_recomputed, num_shards
from training.rgba_vae.config import RgbaVaeConfig

TERA = 1e12
UTILISATION = {"compiled": 0.40, "eager": 0.29, "vae": 0.18}
"""Share of a card's peak that a step reaches, ours. NeMo's LoRA runs of 7-8 B language models reach 0.41-0.43 on an
H100; eager elementwise work takes about 1.4 times as long as compiled; a VAE's convolutions wait for memory, with
normalisations in fp32 between them."""
QUANTISED = {"none": 1.0, "int8": 1.1, "fp8": 1.1, "nf4": 1.15}
"""Time of a step with a quantised base, as a multiple, ours: weights are brought to bf16 before each product."""
SHARDED = 1.1
"""Time of a step with weights shared out, as a multiple, ours: blocks are gathered twice a pass, in part behind
computation; for cards joined by NVLink."""
ENCODING_FLOP = 4.883e12 / 1024**2
"""Operations for a pixel that FLUX.1's VAE encodes, counted on diffusers' model."""
RGBA_VAE_FLOP = 54e12 / 1024**2
"""Operations for a pixel of the RGBA VAE's training: encoder and decoder 46 TFLOP a sample of 1024 px, counted, forward
and backward; LPIPS, tie and discriminator 8, ours."""


@dataclass(frozen=True)
class Card:
    """A graphics card: memory in GB, and its peak in bf16 without sparsity, by its maker's data sheet."""

    name: str
    memory_gb: float
    peak_tflops: float

    def __str__(self) -> str:
        return f"{self.memory_gb:.0f} GB ({self.name})"


CARDS = (
    Card("RTX 4090", 24, 165),
    Card("L40S", 48, 362),
    Card("H100", 80, 989),
    Card("RTX PRO 6000", 96, 504),
    Card("H200", 141, 989),
)
"""A card of each size that is sold today."""


@dataclass(frozen=True)
class SampleFlop:
    """Operations that a sample's step takes: network forward, all of forward and backward, encoding by frozen VAEs."""

    forward: float
    training: float
    encoding: float


def sample_flop(config: TrainingConfig, source: str | None = None) -> SampleFlop:
    """Operations of one sample, by formula; a test compares with torch's counter.

    A token passes 12 width^2 frozen weights a block, and two attention products over the whole sequence. The frozen
    weights need no gradients of their own, so they count twice in forward and backward, LoRA and attention three times.
    """
    size = network_size(config.adapter_config(), source)
    num_tokens, rank = sequence_tokens(config.adapter_config()), config.adapter.rank
    calls = 1 if config.adapter.mode == "joint" else 2
    linear = 2 * num_tokens * 12 * size.width**2 * size.num_blocks
    lora = 2 * num_tokens * rank * size.width * (18 * size.num_double + 17 * (size.num_blocks - size.num_double))
    attention = 4 * num_tokens * (num_tokens / calls) * size.width * size.num_blocks
    base = find_base(config.adapter.base)
    num_encoded = 5 + len(config.adapter.maps)  # Picture, both contexts, both targets; each map.
    encoding = 0.0 if isinstance(base, SmallFill) else num_encoded * ENCODING_FLOP * config.data.size_px**2
    return SampleFlop(linear + lora + attention, 2 * linear + 3 * lora + 3 * attention, encoding)


def sample_cost(config: RunConfig, num_processes: int = 1, source: str | None = None) -> float:
    """Operations of one sample at a card's full peak that take as long as it does: what settings are compared by."""
    if isinstance(config, RgbaVaeConfig):
        again = 4 / 3 if config.compute.checkpoint_every_blocks else 1.0
        return again * RGBA_VAE_FLOP * config.data.size_px**2 / UTILISATION["vae"]
    assert isinstance(config, TrainingConfig)
    flop, compute = sample_flop(config, source), config.compute
    num_blocks = network_size(config.adapter_config(), source).num_blocks
    network = flop.training + flop.forward * num_recomputed(compute, num_blocks) / num_blocks
    network *= QUANTISED[compute.base_quantisation] * (SHARDED if num_shards(compute, num_processes) > 1 else 1.0)
    return (network + flop.encoding) / UTILISATION["compiled" if is_compiled(compute) else "eager"]


def hours(config: RunConfig, cost: float, card: Card, num_cards: int = 1) -> float:
    """Hours that a run takes on a number of cards, without validation, samples and export; cost: `sample_cost`."""
    num_samples = config.schedule.num_steps * config.batch.size
    return num_samples * cost / (card.peak_tflops * TERA * num_cards) / 3600
