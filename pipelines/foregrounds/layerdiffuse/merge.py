"""Gives a base transparency: published differences added to SDXL's attention matrices, or a LoRA fused into them.

Both change weights once and for all, so a network that carries one says so and refuses a second.
"""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from decoupage.faults import BadSetup

TAUGHT = "layerdiffuse"
"""Entry of a network's configuration, saved with it, that names what was merged into it."""
_ATTENTION = re.compile(r"\.attn[12]\.to_(q|k|v|out\.0)\.weight$")


def attention_keys(unet: nn.Module) -> set[str]:
    """Names of SDXL's attention matrices: 560 of them."""
    return {name for name, _ in unet.named_parameters() if _ATTENTION.search(name)}


@torch.no_grad()
def merge_deltas(unet: Any, path: Path) -> None:
    """Add the published differences to a UNet's attention matrices, in fp32.

    Everything is checked before anything is changed.

    Args:
        unet: a diffusers UNet; it keeps its number format.
        path: safetensors whose keys are those of the UNet.

    Raises:
        BadSetup: the UNet carries a LoRA already, or a key or shape is not as it must be.
    """
    refuse_second(unet, path.name)
    parameters = dict(unet.named_parameters())
    wanted = attention_keys(unet)
    with open_tensors(path) as deltas:
        keys = set(deltas.keys())
        if keys != wanted:
            examples = ", ".join([*sorted(wanted - keys)[:1], *sorted(keys - wanted)[:1]])
            raise BadSetup(
                f"{path} does not fit the base: it lacks {len(wanted - keys)} of its {len(wanted)} attention matrices "
                f"and has {len(keys - wanted)} others ({examples}); the base must be SDXL"
            )
        for key in sorted(keys):
            shape, ours = tuple(deltas.get_slice(key).get_shape()), tuple(parameters[key].shape)
            if shape != ours:
                raise BadSetup(f"{path}: {key} has shape {shape}, the base's has {ours}; the base must be SDXL")
        for key in sorted(keys):
            weight = parameters[key]
            merged = weight.float() + deltas.get_tensor(key).to(weight.device, torch.float32)
            weight.copy_(merged.to(weight.dtype))
    unet.register_to_config(**{TAUGHT: path.name})


def fuse_lora(pipe: Any, network: Any, path: Path, num_layers: int | None) -> None:
    """Load a LoRA through diffusers and fuse it into a network of the pipeline.

    Args:
        network: the pipeline's UNet or transformer.
        num_layers: how many layers it must reach; None = any.

    Raises:
        BadSetup: the network carries a LoRA already, or the LoRA does not reach the layers it must.
    """
    refuse_second(network, path.name)
    with open_tensors(path):
        pass  # A damaged file is reported before diffusers fails on it.
    pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=TAUGHT, use_safetensors=True)
    reached = sum(hasattr(module, "lora_A") and TAUGHT in module.lora_A for module in network.modules())
    if not reached or reached != (num_layers or reached):
        wanted = "at least one" if num_layers is None else str(num_layers)
        raise BadSetup(f"{path} does not fit the base: it reaches {reached} layers, wanted {wanted}")
    pipe.fuse_lora(safe_fusing=True)
    pipe.unload_lora_weights()
    network.register_to_config(**{TAUGHT: path.name})


def refuse_second(network: Any, name: str) -> None:
    """Raises BadSetup when a network carries a LoRA already."""
    if before := network.config.get(TAUGHT):
        raise BadSetup(
            f"this base already holds {before}; adding {name} would ruin it. Load the base from its published weights"
        )


def open_tensors(path: Path) -> Any:
    """A safetensors file, opened for reading by key. Raises BadSetup when it is damaged or absent."""
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise BadSetup(f"{path} cannot be read ({error}); get the file again") from error
