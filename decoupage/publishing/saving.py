"""Writing a published folder from a trained network and what belongs to it."""

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from torch import nn

from decoupage.adapter import AdapterConfig
from decoupage.bases.spec import Base
from decoupage.publishing.card import CardFacts, write_card
from decoupage.publishing.folder import base_facts, replacing, write_manifest
from decoupage.publishing.lora import lora_metadata, lora_tensors, write_lora


def save_adapter(
    folder: str | Path,
    base: Base,
    network: nn.Module,
    config: AdapterConfig,
    fusion: Any,
    vae_rgba: Any,
    card: CardFacts | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write an adapter as a folder that diffusers loads; it appears whole or not at all.

    The same adapter gives the same bytes.

    Args:
        folder: to write; a published folder that stands there is replaced, anything else is left alone.
        network: trained (`adapter.adapt`) or loaded from a published folder.
        fusion: None where the adapter takes no maps.
        card: what is known of training and measurement; None = nothing.
        dtype: of LoRA and projection; None = as they are. bfloat16 halves the file.

    Raises:
        ValueError: the folder may not be replaced, the network carries no adapter, fusion and maps disagree.
    """
    if (fusion is None) != (not config.maps):
        maps = ", ".join(config.maps) or "no maps"
        raise ValueError(f"the adapter takes {maps}, but fusion is {'None' if fusion is None else 'given'}")
    tensors = lora_tensors(network, base, dtype)
    card = card or CardFacts()
    with replacing(Path(folder)) as new:
        write_lora(new, base, tensors, lora_metadata(base, config, config.input_dim(base)))
        if fusion is not None:
            _save_model(fusion, new / "fusion")
        _save_model(vae_rgba, new / "vae_rgba")
        with as_file(files("decoupage.hub") / "pipeline.py") as source:
            shutil.copyfile(source, new / "pipeline.py")
        write_card(new, "adapter", base, config, card)
        write_manifest(
            new,
            kind="adapter",
            base=base_facts(base),
            adapter=config.to_dict(),
            data_fingerprint=card.data_fingerprint,
            data_licences=tuple(card.data_licences),
            figures=dict(card.figures),
        )


def _save_model(model: Any, folder: Path) -> None:
    """`save_pretrained`, without the note of where the model had been loaded from: that is nobody's business."""
    model.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
