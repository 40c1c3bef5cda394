"""How a model's weights are placed on a card that is smaller than it: what stays off the card, and what is quantised.

All of it is diffusers' own; here is which of its ways belong together, and what each of them needs. What a way takes is
counted in `decoupage.memory`.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from decoupage.requirements import install_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from decoupage.bases.spec import Base

OFFLOADS = ("none", "model", "group", "sequential")
"""What lies on the card: everything; one model at a time; the blocks that compute; the layer that computes."""
QUANTISED = ("none", "int8", "nf4", "fp8")
LIBRARIES = {"int8": "torchao", "fp8": "torchao", "nf4": "bitsandbytes"}
"""Library that each form of quantised weights needs."""
_APART = {
    ("sequential", "int8"): "sequential offload takes layers apart that torchao's weights do not survive",
    ("sequential", "fp8"): "sequential offload takes layers apart that torchao's weights do not survive",
    ("sequential", "nf4"): "sequential offload moves bitsandbytes' weights without their scales",
    ("group", "nf4"): "group offload moves bitsandbytes' weights without their scales",
}
"""(offload, quantise) that do not go together, and why (diffusers 0.42.1, accelerate 1.15)."""


@dataclass(frozen=True)
class Placing:
    """One way to place a model.

    Attributes:
        offload: one of `OFFLOADS`; quantise: one of `QUANTISED`, for the network and the large text encoder.

    Raises:
        ValueError: there is no such way, or its two parts do not go together.
    """

    offload: str = "none"
    quantise: str = "none"

    def __post_init__(self) -> None:
        for name, known in (("offload", OFFLOADS), ("quantise", QUANTISED)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)}")
        if why := _APART.get((self.offload, self.quantise)):
            raise ValueError(f"offload = {self.offload} and quantise = {self.quantise} do not go together: {why}")

    @property
    def flags(self) -> str:
        """As options of a command; empty where nothing is to be said."""
        said = {"offload": self.offload, "quantise": self.quantise}
        return " ".join(f"--{name} {value}" for name, value in said.items() if value != "none")

    def check(self, device: "torch.device") -> None:
        """Raise ValueError where this way is not possible on a device, before anything is loaded."""
        if self.offload != "none" and device.type == "cpu":
            raise ValueError(f"offload = {self.offload} needs a GPU: on a CPU there is nothing to keep weights off")
        check_quantise(self.quantise, device.type == "cuda")


WAYS = tuple(
    Placing(offload, quantise) for offload in OFFLOADS for quantise in QUANTISED if (offload, quantise) not in _APART
)
"""All ways."""


def check_quantise(form: str, on_gpu: bool) -> None:
    """Raise ValueError where a form of quantised weights is not known, or not possible on this machine."""
    Placing(quantise=form)
    if form == "nf4" and not on_gpu:
        raise ValueError("quantise = nf4 needs a GPU; set it to none, int8 or fp8")
    if form != "none" and find_spec(LIBRARIES[form]) is None:
        raise ValueError(f"quantise = {form} needs {LIBRARIES[form]}, which is not installed; {install_line('gpu')}")


def load_options(base: "Base", form: str, dtype: Any) -> dict[str, Any]:
    """Options of `Base.load` that quantise the network and the large text encoder.

    Args:
        dtype: as diffusers takes it; where it is no torch.dtype, products are computed in bfloat16.

    Raises:
        ValueError: see `check_quantise`.
    """
    import torch
    from diffusers import PipelineQuantizationConfig

    if form == "none":
        return {}
    check_quantise(form, torch.cuda.is_available())
    dtype = dtype if isinstance(dtype, torch.dtype) else torch.bfloat16
    mapping = {base.network: quantisation(base, form, dtype)}
    mapping |= {name: _quantisation("transformers", form, dtype, None) for name in base.large_text_parts}
    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


def quantisation(base: "Base", form: str, dtype: "torch.dtype") -> Any:
    """Diffusers' configuration that quantises the network, all but the input projection, which an adapter widens.

    Weights only, products in `dtype`: torchao's forms that quantise activations too are made for sampling, and give
    no gradient to the layers before them.
    """
    return _quantisation("diffusers", form, dtype, [base.input_projection])


def _quantisation(library: str, form: str, dtype: "torch.dtype", kept: list[str] | None) -> Any:
    """The configuration for a model of a library; diffusers and transformers give theirs the same names."""
    kinds = import_module(library)
    if form == "nf4":
        return kinds.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=kept,
        )
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

    weights = Int8WeightOnlyConfig() if form == "int8" else Float8WeightOnlyConfig()
    return kinds.TorchAoConfig(weights, modules_to_not_convert=kept)


def place(pipe: Any, offload: str, device: "torch.device") -> Any:
    """Put a loaded pipeline on a device, or what computes at a time of it; returns it."""
    if offload == "none":
        return pipe.to(device)
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        _group(pipe, _models(pipe), device)
    return pipe


def place_parts(pipe: Any, names: "Iterable[str]") -> None:
    """Put models that a pipeline got later where the way in which the others are placed wants them."""
    from accelerate import cpu_offload
    from diffusers.hooks.group_offloading import _is_group_offload_enabled

    network, device = getattr(pipe, pipe.base.network), pipe._execution_device  # noqa: SLF001 - diffusers' own name
    parts = [name for name in _models(pipe) if name in names]
    if _is_group_offload_enabled(network):
        _group(pipe, parts, device)
    elif getattr(pipe, "_all_hooks", None):
        pipe.enable_model_cpu_offload(device=device)  # One chain of all models, made again.
    elif hasattr(network, "_hf_hook"):
        for name in parts:
            cpu_offload(getattr(pipe, name), device, offload_buffers=True)
    else:
        for name in parts:
            getattr(pipe, name).to(device)


def _models(pipe: Any) -> list[str]:
    from torch import nn

    return [name for name, part in pipe.components.items() if isinstance(part, nn.Module)]


def _group(pipe: Any, names: "Iterable[str]", device: "torch.device") -> None:
    """Group offload: of the network by blocks; of the text encoders by layers, because they name no blocks.

    VAEs and fusion stay on the device: they are small, and a VAE's halves are called without its forward.
    """
    from diffusers.hooks import apply_group_offloading

    for name in names:
        part = getattr(pipe, name)
        if name != pipe.base.network and name not in pipe.base.text_parts:
            part.to(device)
            continue
        apply_group_offloading(
            part,
            onload_device=device,
            offload_type="block_level" if name == pipe.base.network else "leaf_level",
            num_blocks_per_group=1,
            use_stream=device.type == "cuda",
            low_cpu_mem_usage=device.type == "cuda",  # Pinned ahead, weights take up to twice their size of memory.
        )
