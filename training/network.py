"""A base as training holds it: number formats, what is recomputed in the backward pass, what is compiled, its hash.

How much memory that saves is estimated in `memory.py`; what is trained in the network, in `decoupage.adapter`.
"""

import hashlib
import os
import shutil
from importlib.util import find_spec
from typing import Any

import torch
from diffusers import PipelineQuantizationConfig
from torch import nn
from torch.utils.checkpoint import checkpoint

from decoupage.bases.spec import Base, Components
from decoupage.faults import BadSetup
from decoupage.geometry import blocks
from decoupage.placing import LIBRARIES
from decoupage.placing import quantisation as possible_quantisation
from decoupage.requirements import install_line
from training.config import ComputeConfig

_NUM_VALUES = 256
"""Values hashed of each tensor, spread over it: weights that agree in all of them count as the same."""


def compute_dtype(compute: ComputeConfig, device: torch.device) -> torch.dtype:
    """Number format of the computation: bfloat16 on a GPU unless fp32 is requested, float32 on a CPU."""
    return torch.bfloat16 if device.type == "cuda" and compute.precision == "bf16" else torch.float32


def load_base(base: Base, source: str | None, compute: ComputeConfig, device: torch.device) -> Components:
    """A base for `decoupage.adapter.adapt`: network and VAE on the device, text encoders left on the CPU.

    A network whose weights are to be shared out stays on the CPU too: each device gets its part of it later. A prompt
    is embedded once for a whole run, so `base.embed_text` runs on the CPU and the encoders can be dropped.
    The input projection is never quantised: it is trained.

    Args:
        source: hub id or folder in diffusers' layout; None = the base's published weights.

    Raises:
        BadSetup: see `load_options` and `read_base`.
    """
    components = dict(read_base(base, source, **load_options(base, compute, device)))
    for name in ("vae",) if compute.sharded else (base.network, "vae"):
        components[name] = components[name].to(device)
    return components


def read_base(base: Base, source: str | None, **options: Any) -> Components:
    """`Base.load`, with a fault that names the source.

    Raises:
        BadSetup: the weights are absent or damaged.
    """
    try:
        return base.load(source, **options)
    except (OSError, ValueError) as error:
        reason = (str(error) or repr(error)).splitlines()[0]
        raise BadSetup(
            f"the base {base.name} cannot be loaded from {source or base.repo_id} ({reason}); name a folder or hub id "
            "that holds it (--base), or see `decoupage doctor`"
        ) from error


def load_options(base: Base, compute: ComputeConfig, device: torch.device) -> dict[str, Any]:
    """Options for `Base.load` in a run: number format and quantisation.

    Raises:
        BadSetup: a library that the quantisation needs is absent, or nf4 is requested without a GPU.
    """
    dtype, form = compute_dtype(compute, device), compute.base_quantisation
    options: dict[str, Any] = {"dtype": dtype}
    if form == "none":
        return options
    if form == "nf4" and device.type != "cuda":
        raise BadSetup("compute.base_quantisation = nf4 needs a GPU; set it to none, int8 or fp8")
    mapping = {base.network: quantisation(base, form, dtype)}
    return options | {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


def quantisation(base: Base, form: str, dtype: torch.dtype) -> Any:
    """`decoupage.placing.quantisation`. Raises BadSetup: the library is absent."""
    require(LIBRARIES[form], f"compute.base_quantisation = {form}")
    return possible_quantisation(base, form, dtype)


def require(library: str, setting: str) -> None:
    """Raises BadSetup where a library of the extra `gpu` is not installed; `setting` is what asks for it."""
    if find_spec(library) is None:
        raise BadSetup(f"{setting} needs {library}, which is not installed; {install_line('gpu')}")


def checkpoint_blocks(network: nn.Module, every: int) -> None:
    """Recompute every n-th block in the backward pass instead of keeping what it computed; 0 = none.

    diffusers' own switch recomputes all blocks, but lets the caller say how a block is run.
    """
    if every == 0:
        network.disable_gradient_checkpointing()
        return
    chosen = set(blocks(network)[::every])

    def run(block: nn.Module, *inputs: Any) -> Any:
        return checkpoint(block, *inputs, use_reentrant=False) if block in chosen else block(*inputs)

    network.enable_gradient_checkpointing(run)


def lacks_to_compile(on_gpu: bool) -> str:
    """What `compute.compile` lacks on this machine, in words; empty = nothing. torch's inductor calls both."""
    compilers = (os.environ.get("CXX"), "c++", "g++", "clang++")
    lacking = [] if any(name and shutil.which(name) for name in compilers) else ["a C++ compiler (such as g++)"]
    lacking += ["Triton"] if on_gpu and find_spec("triton") is None else []
    return " and ".join(lacking)


def compile_blocks(network: nn.Module, backend: str = "inductor") -> None:
    """Compile each kind of repeated block once, instead of the whole network: the same speed after minutes less.

    Compiled code holds for one length of the sequence; a run has one size.
    """
    network.compile_repeated_blocks(backend=backend)


@torch.no_grad()
def weights_digest(*modules: Any) -> str:
    """Hash of modules' frozen weights, 16 hex digits: names, shapes and some values of each floating-point tensor.

    Not every value is hashed: a base has 24 GB. Quantised tensors are left out, they depend on the machine.
    """
    sha = hashlib.sha256()
    for module in modules:
        if not isinstance(module, nn.Module):
            continue
        for name, tensor in module.named_parameters():
            if type(tensor) is nn.Parameter and not tensor.requires_grad and tensor.is_floating_point():
                flat = tensor.detach().reshape(-1)
                chosen = flat[:: max(1, flat.numel() // _NUM_VALUES)].to("cpu", torch.float32).contiguous()
                sha.update(f"{name} {tuple(tensor.shape)}".encode() + chosen.numpy().tobytes())
    return sha.hexdigest()[:16]
