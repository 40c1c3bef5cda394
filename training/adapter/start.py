"""The pipeline that an adapter's training starts from: the base as the machine allows, adapted, and the RGBA VAE."""

from pathlib import Path
from typing import Any

import torch

from decoupage.adapter import adapt, make_fusion
from decoupage.bases import find_base
from decoupage.bases.reading import readable
from decoupage.faults import BadSetup
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.publishing.taking_up import take_up
from training.config import TrainingConfig
from training.network import checkpoint_blocks, compile_blocks, load_base


def starting_pipeline(
    config: TrainingConfig, source: str | None, rgba_vae: str, device: torch.device, start: str | None = None
) -> LayerDecompositionPipeline:
    """A pipeline whose adapter is new, or a published one's; the same seed gives the same weights.

    Args:
        source: folder or hub id of the base; None = the published one.
        rgba_vae: folder of a trained RGBA VAE.
        start: published adapter to start from; None = a new one.

    Raises:
        BadSetup: weights are missing or are of another class, or the adapter to start from does not fit.
    """
    torch.manual_seed(config.seed)
    adapter = config.adapter_config()
    base = find_base(adapter.base)
    components = dict(load_base(base, source, config.compute, device))
    network = components[base.network]
    adapt(network, base, adapter)
    if config.compute.checkpoint_every_blocks:
        checkpoint_blocks(network, config.compute.checkpoint_every_blocks)
    if config.compute.compile:
        compile_blocks(network)
    vae_rgba = _load_like(components["vae"], rgba_vae)
    fusion = make_fusion(base, adapter)
    if start is not None:
        try:
            fusion = take_up(start, base, adapter, network, vae_rgba)
        except (OSError, ValueError) as error:
            raise BadSetup(f"training cannot start from {start}: {error}") from error
    return LayerDecompositionPipeline.assembled(components, vae_rgba, fusion, adapter)


def _load_like(vae: Any, folder: str) -> Any:
    """The RGBA VAE in a folder: it must have the class of the base's VAE, and four channels."""
    try:
        with readable(folder):
            loaded = type(vae).from_pretrained(Path(folder), dtype=vae.dtype)
    except (OSError, ValueError) as error:
        raise BadSetup(f"{folder} holds no RGBA VAE of the class {type(vae).__name__} ({error})") from error
    if loaded.config.in_channels != 4:
        raise BadSetup(f"{folder} holds a VAE of {loaded.config.in_channels} channels; an RGBA VAE has 4")
    if not all(bool(value.isfinite().all()) for value in loaded.state_dict().values() if value.is_floating_point()):
        raise BadSetup(f"{folder} holds an RGBA VAE with values that are not finite: train it again")
    return loaded
