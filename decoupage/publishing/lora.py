"""LoRA and projection as one file in diffusers' LoRA format, and the check that such a file fits a network.

The trained projection is written as a LoRA of full rank: the first factor is the identity, the second one the change by
training, with the new columns beside the known ones (from zero). Diffusers widens a projection by itself when a LoRA
takes more channels than it, so this form needs none of our code.

The file must not hold full weights or biases of the projection: diffusers refuses the former, and the latter make it
expect a bias in every other module (diffusers 0.42.1, `loaders/lora_pipeline.py`, `utils/peft_utils.py`).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from torch import Tensor, nn

from decoupage.adapter import ADAPTER, AdapterConfig
from decoupage.bases.spec import Base
from decoupage.projection import TrainedProjection
from decoupage.publishing.folder import WEIGHTS


def lora_tensors(network: nn.Module, base: Base, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Tensors that training changed, by module: `<module>.lora_A.weight` [rank, in] and `<module>.lora_B.weight`.

    Args:
        network: adapted for training (`adapter.adapt`), or loaded from a published folder.
        base: the base that the network belongs to.
        dtype: number format of the LoRA's factors; None = as they are. The projection's stay as they are: its new
            columns are sums of many small updates, and it is 0.3 % of the file.

    Raises:
        ValueError: the network carries no adapter of decoupage.
    """
    if ADAPTER not in getattr(network, "peft_config", {}):
        raise ValueError(f"the network carries no LoRA named {ADAPTER!r}; adapt it or load a published adapter first")
    tensors = dict(get_peft_model_state_dict(network, adapter_name=ADAPTER))
    if dtype is not None:
        kept = projection_names(base)
        tensors |= {name: tensor.to(dtype) for name, tensor in tensors.items() if name not in kept}
    projection = getattr(network, base.input_projection)
    if isinstance(projection, TrainedProjection):
        tensors |= projection_tensors(base, projection.change)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def projection_tensors(base: Base, change: Tensor) -> dict[str, Tensor]:
    """A change [out, in] of the projection as an exact LoRA of rank `in`."""
    identity = torch.eye(change.shape[1], dtype=change.dtype, device=change.device)
    return dict(zip(projection_names(base), (identity, change), strict=True))


def projection_names(base: Base) -> tuple[str, str]:
    """Names of the projection's two factors."""
    return f"{base.input_projection}.lora_A.weight", f"{base.input_projection}.lora_B.weight"


def lora_metadata(base: Base, config: AdapterConfig, input_dim: int) -> dict[str, Any]:
    """The arguments of peft's LoraConfig that rebuild the adapter, for the file's header.

    They must be there: ranks are mixed (the projection's is `input_dim`), and without them diffusers before 0.40
    scales the projection by the ratio of the ranks. Only fields that every peft knows are written, not a whole
    LoraConfig: an older peft refuses fields that it does not know, and the file with them.
    """
    lora = config.lora_config(base)
    return {
        "r": lora.r,
        "lora_alpha": lora.lora_alpha,
        "target_modules": f"({base.lora_targets}|{base.input_projection})",
        "rank_pattern": {base.input_projection: input_dim},
        "alpha_pattern": {base.input_projection: input_dim},
    }


def write_lora(folder: Path, base: Base, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write the file, by the base's own pipeline class; the same tensors give the same bytes."""
    layers = {f"{base.network}_lora_layers": tensors, f"{base.network}_lora_adapter_metadata": metadata}
    base.pipeline_class.save_lora_weights(folder, **layers)
    _order_header(folder / WEIGHTS)


def _order_header(path: Path) -> None:
    """Sort the header's metadata in place: safetensors writes them in a random order, and bytes are to be the same.

    The format is 8 bytes of length (little endian), that many bytes of JSON padded with spaces, then the tensors.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise RuntimeError(f"{path}: the header would grow from {length} to {len(text)} bytes")
        file.seek(8)
        file.write(text.ljust(length))


def read_shapes(path: Path, base: Base) -> dict[str, tuple[int, int]]:
    """Numbers of (in, out) channels of each module in a file, from its header only."""
    prefix, first, second = f"{base.network}.", ".lora_A.weight", ".lora_B.weight"
    with safe_open(path, framework="pt") as file:
        names = [name.removesuffix(first) for name in file.keys() if name.endswith(first)]  # noqa: SIM118 - no mapping
        shapes = {name: (file.get_slice(name + first), file.get_slice(name + second)) for name in names}
        return {name.removeprefix(prefix): (a.get_shape()[1], b.get_shape()[0]) for name, (a, b) in shapes.items()}


def check_fits(path: Path, network: nn.Module, base: Base, config: AdapterConfig) -> None:
    """Refuse a network of another geometry; diffusers would silently leave out what does not fit.

    Raises:
        ValueError: the network is adapted already, or modules or channels differ; the message names the first.
    """
    wanted = f"the base at hand is not the {base.name} that this adapter was trained on"
    projection = getattr(network, base.input_projection, None)
    if not isinstance(projection, nn.Linear) or hasattr(network, "peft_config"):
        raise ValueError(f"{base.name}: the network is adapted already; load the base again")
    if projection.in_features != base.projection_dim:
        raise ValueError(
            f"{wanted}: its {base.input_projection} takes {projection.in_features} channels instead of "
            f"{base.projection_dim}"
        )
    has = {
        name: (module.in_features, module.out_features)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and re.fullmatch(base.lora_targets, name)
    }
    has[base.input_projection] = (config.input_dim(base), projection.out_features)
    takes = read_shapes(path, base)
    for name in sorted(has.keys() | takes.keys()):
        if has.get(name) != takes.get(name):
            raise ValueError(f"{wanted}: {name} is {_words(has.get(name))} there, {_words(takes.get(name))} in {path}")


def _words(shape: tuple[int, int] | None) -> str:
    return "absent" if shape is None else f"{shape[0]} -> {shape[1]} channels"
