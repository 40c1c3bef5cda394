"""How much memory a run takes at its peak, by its parts, as an estimate before weights are loaded.

Weights, gradients, moments and averages are counted on torch's meta device, where nothing is allocated. The
activations that an adapter's forward pass keeps are blocks x tokens x width x `KEPT`; those of the RGBA VAE are counted
in `rgba_vae/memory.py`. Not counted: fragmentation, other processes on the device, and the decoder's activations where
a recipe turns on a loss of pixels. `benchmarks/bench_model.py` measures. Which settings make a run fit is searched in
`fitting.py`.
"""

from dataclasses import dataclass, fields

from decoupage.geometry import Size, network_size, sequence_tokens
from decoupage.memory import BYTES, GIGA
from training.config import ComputeConfig, RunConfig, TrainingConfig

KEPT = {"eager": 23.8, "compiled": 18.4}
"""Numbers that a block keeps for its backward pass, as a multiple of tokens x width. Both were counted (`kept.py`):
eager 23.1 in a single block and 25.1 in a double one, with the normalisations' inputs in fp32 as autocast leaves them;
compiled 18.1 and 19.1, what torch's partitioner saves once it recomputes elementwise work. Here is FLUX.1's mean of 38
and 19 blocks. A test counts again."""
LORA_INPUTS = 6
"""LoRA factors that a token passes in a block; each keeps `rank` numbers."""
OUTSIDE_BLOCKS = 4.5
"""The same multiple for the layers before and after the blocks."""
GATHERED_BLOCKS = 2
"""Blocks whose weights are whole at a time in a sharded run: the one that computes, and the next one."""
RESERVE_GB = 1.0
"""Memory for both VAEs, the CUDA context, kernels' workspaces."""
FP32, BF16 = 4, 2


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak memory of one process by its use, in GB (1e9 bytes).

    Attributes:
        base: frozen weights; trained: trained weights in fp32, with their gradients, moments and averages.
        activations: those kept for the backward pass, and those of the largest block while it is recomputed.
        exchange: what several processes hold to exchange: gradients in DDP's buckets, or gathered blocks of FSDP2.
    """

    base: float
    trained: float
    gradients: float
    moments: float
    averages: float
    activations: float
    exchange: float = 0.0
    reserve: float = RESERVE_GB

    @property
    def total_gb(self) -> float:
        """Sum of all parts, the memory at the peak."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, float]:
        """GB by part, without those that are zero."""
        return {part.name: gb for part in fields(self) if (gb := getattr(self, part.name))}

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {gb:.1f}" for name, gb in self.parts.items())
        return f"about {self.total_gb:.0f} GB (an estimate: {parts})"


def estimate(
    config: TrainingConfig, source: str | None = None, on_gpu: bool = True, num_processes: int = 1
) -> MemoryEstimate:
    """Peak memory of each process of an adapter's run.

    Args:
        source: hub id or folder of the base, whose geometry is read if it is available; None = the published one.
        on_gpu: else everything is computed in fp32.
        num_processes: number of processes; `compute.sharded` shares weights and moments out among them.
    """
    size = network_size(config.adapter_config(), source)
    number = number_bytes(config, on_gpu)
    learned = learner_parts(config, size.num_trained, num_processes)
    shards = num_shards(config.compute, num_processes)
    frozen = size.num_linear * BYTES.get(config.compute.base_quantisation, number) + size.num_other * number
    if shards > 1:
        gathered = size.block_linear * number + 2 * size.block_trained * FP32  # Weights, and gradients of the trained.
        learned["exchange"] = GATHERED_BLOCKS * gathered / GIGA
    return MemoryEstimate(base=frozen / shards / GIGA, activations=_activations(config, size, number) / GIGA, **learned)


def learner_parts(config: RunConfig, num_trained: int, num_processes: int) -> dict[str, float]:
    """GB of all that belongs to trained parameters, by part of `MemoryEstimate`."""
    shards = num_shards(config.compute, num_processes)
    whole, share = num_trained * FP32 / GIGA, num_trained * FP32 / GIGA / shards
    moments = 0.5 if config.optimiser.name == "adamw8bit" else 2.0
    # Between the micro-batches of an update, gradients are not exchanged, and each process holds all of them.
    accumulates = config.batch.accumulation > num_processes
    return {
        "trained": share,
        "gradients": whole if accumulates else share,
        "moments": moments * share,
        "averages": share if config.ema_decay else 0.0,
        "exchange": whole if num_processes > 1 and shards == 1 else 0.0,
    }


def num_shards(compute: ComputeConfig, num_processes: int) -> int:
    """Number of processes among which weights are shared out; 1 = each has all of them."""
    return num_processes if compute.sharded else 1


def number_bytes(config: RunConfig, on_gpu: bool) -> int:
    """Bytes of a number in the computation."""
    return BF16 if on_gpu and config.compute.precision == "bf16" else FP32


def is_compiled(compute: ComputeConfig) -> bool:
    """Whether blocks keep and cost what compiled ones do; around nf4's kernels compiled code breaks off."""
    return compute.compile and compute.base_quantisation != "nf4"


def num_recomputed(compute: ComputeConfig, num_blocks: int) -> int:
    """Number of blocks that are computed a second time for the backward pass."""
    every = compute.checkpoint_every_blocks
    return -(-num_blocks // every) if every else 0


def _activations(config: TrainingConfig, size: Size, number: int) -> float:
    """Activations in bytes: whole blocks, the inputs of those that are recomputed, and one of these at a time."""
    num_tokens = config.batch.micro_batch * sequence_tokens(config.adapter_config())
    recomputed = num_recomputed(config.compute, size.num_blocks)
    multiple = KEPT["compiled" if is_compiled(config.compute) else "eager"]
    block = num_tokens * (multiple * size.width + LORA_INPUTS * config.adapter.rank) * number
    inputs = num_tokens * size.width * number
    outside = num_tokens * OUTSIDE_BLOCKS * size.width * number
    # A copy of each trained weight in bf16, for the length of a pass.
    copies = size.num_trained * BF16 if number == BF16 else 0
    at_once = block if recomputed else 0.0
    return (size.num_blocks - recomputed) * block + recomputed * inputs + at_once + outside + copies
