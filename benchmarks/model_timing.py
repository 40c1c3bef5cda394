"""How long the network takes on a device, and how much memory: with each option that changes it.

Runs on any device, so that the tests can run it; the figures mean something on a GPU.
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.model_geometry import Geometry, Sample, backward, forward, make_network, make_sample

ATTENTION = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
UNITS = ("ms", "mfu_percent", "peak_gb")
WARM_UP = 2

Figures = dict[str, Any]
Measured = tuple[float, float | None]
"""(ms, peak GB)."""
Attempt = tuple[Measured | None, str]
"""What was measured, or None and the reason."""


@dataclass(frozen=True)
class Option:
    """One way to run a phase's network. attention: a key of `ATTENTION`, or None for what torch chooses itself."""

    checkpointed: bool = False
    attention: str | None = None


@dataclass(frozen=True)
class Phase:
    """Runs that share one network.

    Attributes:
        training: forward and backward; else forward only, as in sampling.
        compiled: torch.compile of each repeated block.
        adapter_dtype: float32 runs under autocast, as `adapt` leaves the adapter; bfloat16 without.
    """

    training: bool
    compiled: bool
    adapter_dtype: torch.dtype
    options: Sequence[Option]

    def name(self, option: Option) -> str:
        """What the figures of a run begin with, such as `forward_backward_compiled_checkpointed`."""
        # The usual type is not named: fp32 in training, bf16 in sampling.
        unusual = self.training and self.adapter_dtype == torch.bfloat16
        parts = ["forward_backward" if self.training else "forward"]
        parts += ["compiled"] * self.compiled + ["bf16_adapter"] * unusual + ["checkpointed"] * option.checkpointed
        return "_".join([*parts, *([option.attention] if option.attention else [])])


USUAL, CHECKPOINTED = Option(), Option(checkpointed=True)
KERNELS = tuple(Option(attention=name) for name in ATTENTION)
FAST_KERNELS = tuple(Option(attention=name) for name in ("flash", "cudnn"))
PHASES = (
    Phase(training=True, compiled=False, adapter_dtype=torch.float32, options=(USUAL, CHECKPOINTED, *KERNELS)),
    Phase(training=True, compiled=True, adapter_dtype=torch.float32, options=(USUAL, CHECKPOINTED, *FAST_KERNELS)),
    Phase(training=True, compiled=True, adapter_dtype=torch.bfloat16, options=(USUAL,)),
    Phase(training=False, compiled=False, adapter_dtype=torch.bfloat16, options=(USUAL, *KERNELS)),
    Phase(training=False, compiled=True, adapter_dtype=torch.bfloat16, options=(USUAL, *FAST_KERNELS)),
)


def figure_names(phases: Sequence[Phase] = PHASES) -> list[str]:
    """All that `time_network` measures."""
    return [f"{phase.name(option)}_{unit}" for phase in phases for option in phase.options for unit in UNITS]


def time_network(
    geometry: Geometry,
    device: str,
    repeats: int,
    tflop: dict[bool, float],
    peak_tflops: float,
    phases: Sequence[Phase] = PHASES,
) -> tuple[Figures, dict[str, str]]:
    """Figures by name, and for those that are None the reason.

    Args:
        tflop: model TFLOP of one sample, by whether the backward pass is included.
        peak_tflops: of the device, TFLOP/s.
    """
    figures: Figures = dict.fromkeys(figure_names(phases))
    notes: dict[str, str] = {}
    sample = make_sample(geometry, device, torch.bfloat16)
    for phase in phases:
        for name, (measured, note) in _time_phase(geometry, sample, phase, repeats).items():
            if measured is None:
                notes[name] = note
                continue
            ms, peak_gb = measured
            mfu = 100 * tflop[phase.training] / (ms / 1000) / peak_tflops
            figures |= dict(zip((f"{name}_{unit}" for unit in UNITS), (ms, mfu, peak_gb), strict=True))
        release()
    return figures, notes


def _time_phase(geometry: Geometry, sample: Sample, phase: Phase, repeats: int) -> dict[str, Attempt]:
    """By the option's name; the network is gone afterwards."""
    device = sample.noisy_BND.device.type
    try:
        network = make_network(geometry, device, torch.bfloat16, phase.adapter_dtype).train(phase.training)
    except torch.OutOfMemoryError:
        return {phase.name(option): (None, "out of memory: the weights alone") for option in phase.options}
    attempts = {}
    for option in phase.options:
        # A kernel is chosen when a block is compiled, so each option compiles its own.
        torch.compiler.reset()
        if phase.compiled:
            network.compile_repeated_blocks(fullgraph=True)
        name = phase.name(option)
        attempts[name] = _attempt(partial(_run, geometry, network, sample, phase, option, repeats), option)
        # Minutes go by between the first run and the last.
        print(f"{name}: {attempts[name]}", file=sys.stderr)
        network.zero_grad(set_to_none=True)
        release()
    return attempts


def timed_ms(call: Callable[[], Any], repeats: int, device: str, warm_up: int = WARM_UP) -> float:
    """Median time of a call, after warming up."""
    for _ in range(warm_up):
        call()
    return statistics.median(_once_ms(call, device) for _ in range(repeats))


def release() -> None:
    """Return memory that is no longer referenced to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _attempt(run: Callable[[], Measured], option: Option) -> Attempt:
    """The run's figures, or None and why there are none: too little memory, or a kernel that is not available here."""
    try:
        return run(), ""
    except torch.OutOfMemoryError:
        return None, "out of memory"
    except RuntimeError as error:
        # Which kernels a device, a type and a length allow is decided in many places; what torch chooses must run.
        if option.attention is None:
            raise
        return None, f"no {option.attention} attention: {str(error).strip().splitlines()[0]}"


def _run(
    geometry: Geometry, network: nn.Module, sample: Sample, phase: Phase, option: Option, repeats: int
) -> Measured:
    device = sample.noisy_BND.device.type
    (network.enable_gradient_checkpointing if option.checkpointed else network.disable_gradient_checkpointing)()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        # Entered again in each step, as in training: autocast's cached weights are valid for one step only.
        with torch.autocast(device, torch.bfloat16, enabled=phase.adapter_dtype == torch.float32):
            predicted = forward(geometry, network, sample, geometry.adapter.mode)
        if phase.training:
            backward(network, predicted)

    kernel = sdpa_kernel(ATTENTION[option.attention]) if option.attention else nullcontext()
    with torch.set_grad_enabled(phase.training), kernel:
        ms = timed_ms(step, repeats, device)
    return ms, torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None


def _once_ms(call: Callable[[], Any], device: str) -> float:
    if device != "cuda":
        started = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - started)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)
