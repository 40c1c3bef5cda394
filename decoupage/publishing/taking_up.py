"""Taking a published adapter up again: its weights become those of an adapter that is about to be trained."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from decoupage.adapter import ADAPTER, AdapterConfig
from decoupage.bases.spec import Base
from decoupage.fusion import MultiModalLatentFusion
from decoupage.projection import TrainedProjection
from decoupage.publishing.finding import find_folder
from decoupage.publishing.folder import WEIGHTS, read_manifest
from decoupage.publishing.loading import load_model
from decoupage.publishing.lora import projection_names

_MAY_DIFFER = {"size_px", "num_inference_steps", "num_looks", "map_makers", "map_picture_px", "alpha_levels"}
"""Of an adapter's configuration: what decides no weight's shape."""


@torch.no_grad()
def take_up(folder: str | Path, base: Base, config: AdapterConfig, network: Any, vae_rgba: Any) -> Any:
    """Set the weights of an adapted network to a published adapter's, in place; returns its fusion module.

    Args:
        folder: folder, address or Hub repository of the published adapter.
        config: of the adapter that is to be trained.
        network: adapted (`decoupage.adapter.adapt`), not trained yet.
        vae_rgba: the RGBA VAE that the adapter will be trained with.

    Raises:
        ValueError: a file is missing or damaged, or the adapter is of another base, form or RGBA VAE.
    """
    place = find_folder(folder)
    theirs = AdapterConfig.from_dict(read_manifest(place).adapter)
    for field in fields(AdapterConfig):
        ours, found = getattr(config, field.name), getattr(theirs, field.name)
        if field.name not in _MAY_DIFFER and ours != found:
            raise ValueError(f"adapter.{field.name} must be {found}, as in {place}, from which it starts; got {ours}")
    _check_codes(load_model(type(vae_rgba), place / "vae_rgba", vae_rgba), vae_rgba, place)
    prefix = f"{base.network}."
    tensors = {name.removeprefix(prefix): tensor for name, tensor in load_file(place / WEIGHTS).items()}
    first, second = (tensors.pop(name) for name in projection_names(base))
    lora = {name: tensor.float() for name, tensor in tensors.items()}
    wrong = set_peft_model_state_dict(network, lora, adapter_name=ADAPTER).unexpected_keys
    if wrong:
        raise ValueError(f"{place}: {WEIGHTS} holds weights that the network lacks: {', '.join(sorted(wrong)[:3])}")
    projection = getattr(network, base.input_projection)
    assert isinstance(projection, TrainedProjection)
    change, number = (second @ first).float(), projection.published.in_features
    projection.published.weight.add_(change[:, :number].to(projection.published.weight))
    projection.added.weight.copy_(change[:, number:])
    return load_model(MultiModalLatentFusion, place / "fusion", network).float() if config.maps else None


def _check_codes(theirs: Any, ours: Any, place: Path) -> None:
    """Refuse an RGBA VAE that encodes otherwise than the one that the adapter was trained with."""
    encoders = [vae.encoder.state_dict() for vae in (theirs, ours)]
    if any(not torch.equal(value, encoders[1][name].to(value)) for name, value in encoders[0].items()):
        raise ValueError(f"{place} was trained with an RGBA VAE whose encoder differs: take its own, {place}/vae_rgba")
