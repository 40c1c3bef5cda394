"""Writing published folders: a trained adapter with all that belongs to it, and the remove-only export of one.

The remove-only export is a LoRA that plain FluxFillPipeline takes, without any of our code. It keeps what makes the
background: LoRA and the published channels of the projection, at rank 384 instead of 450. It drops the fused context,
the indicators of the halves, the second half of the sequence, the foreground and its VAE.
"""

import json
import shutil
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from decoupage.adapter import AdapterConfig
from decoupage.bases import find_base
from decoupage.bases.spec import Base, Text
from decoupage.publishing.card import CardFacts, write_card
from decoupage.publishing.finding import find_folder
from decoupage.publishing.folder import WEIGHTS, BaseFacts, Kind, read_manifest, replacing, write_manifest
from decoupage.publishing.lora import lora_metadata, lora_tensors, projection_names, projection_tensors, write_lora
from decoupage.publishing.text import write_text


def save_adapter(
    folder: str | Path,
    base: Base,
    network: nn.Module,
    config: AdapterConfig,
    fusion: Any,
    vae_rgba: Any,
    card: CardFacts | None = None,
    dtype: torch.dtype | None = torch.bfloat16,
    empty_prompt: Text | None = None,
) -> None:
    """Write an adapter as a folder that diffusers loads; it appears whole or not at all.

    The same adapter gives the same bytes.

    Args:
        folder: where to write; a published folder there is replaced, anything else is left alone.
        base: the base that the network belongs to.
        network: network that is adapted (`adapter.adapt`), or loaded from a published folder.
        config: configuration of the adapter.
        fusion: trained fusion; None where the adapter takes no maps.
        vae_rgba: trained RGBA VAE.
        card: facts for the model card; None = none are known.
        dtype: number format of the LoRA's factors, of which nearly all of the file is; None = as they are, fp32 after
            training. Projection and fusion keep theirs.
        empty_prompt: embedding of the empty prompt; None = whoever loads the folder needs the text encoders.

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
        if empty_prompt is not None:
            write_text(new, empty_prompt)
        if fusion is not None:
            _save_model(fusion, new / "fusion")
        _save_model(vae_rgba, new / "vae_rgba")
        with as_file(files("decoupage.hub") / "pipeline.py") as source:
            shutil.copyfile(source, new / "pipeline.py")
        _finish(new, "adapter", base, config, card)


def _save_model(model: Any, folder: Path) -> None:
    """`save_pretrained`, without the path that the model was loaded from, which diffusers writes into its config."""
    model.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def export_remove_only(
    adapter: str | Path, folder: str | Path, card: CardFacts | None = None, revision: str | None = None
) -> None:
    """Write the remove-only export of a published adapter; the base's weights are not needed.

    Args:
        adapter: folder or Hub repository of the adapter.
        folder: where to write, by the rules of `save_adapter`.
        card: facts for the card, with figures *of the export*, which are not those of the adapter. Fingerprint and
            licences of the adapter's data are said in any case.
        revision: branch, tag or commit of the adapter's repository.

    Raises:
        ValueError: a base whose own pipeline does not give masked picture and mask by channels; a damaged adapter.
    """
    place = find_folder(adapter, revision)
    manifest = read_manifest(place)
    if manifest.kind != "adapter":
        raise ValueError(f"{place} is a {manifest.kind} export already")
    config = AdapterConfig.from_dict(manifest.adapter)
    base = find_base(config.base)
    check_exportable(base)
    card = card or CardFacts()
    licences = tuple(dict.fromkeys((*manifest.data_licences, *card.data_licences)))
    card = replace(card, data_fingerprint=manifest.data_fingerprint, data_licences=licences)
    tensors = {name.removeprefix(f"{base.network}."): t for name, t in load_file(place / WEIGHTS).items()}
    first, second = projection_names(base)
    change = tensors[second] @ tensors[first]
    tensors |= projection_tensors(base, change[:, : base.projection_dim].contiguous())
    with replacing(Path(folder)) as new:
        write_lora(new, base, tensors, lora_metadata(base, config, base.projection_dim))
        _finish(new, "remove-only", base, config, card)


def _finish(folder: Path, kind: Kind, base: Base, config: AdapterConfig, card: CardFacts) -> None:
    """Write the card, and last the manifest."""
    write_card(folder, kind, base, config, card)
    write_manifest(
        folder,
        kind=kind,
        base=BaseFacts(name=base.name, repo_id=base.repo_id, licence=base.licence),
        adapter=config.to_dict(),
        data_fingerprint=card.data_fingerprint,
        data_licences=tuple(card.data_licences),
        figures=dict(card.figures),
    )


def check_exportable(base: Base) -> None:
    """Raise ValueError unless the base's own pipeline gives its network the whole background context."""
    if base.context != "channel" or base.projection_dim != base.token_dim + base.context_dim:
        raise ValueError(
            f"{base.name} has no remove-only export: its own pipeline does not give masked picture and mask as "
            "channels; use LayerDecompositionPipeline"
        )
