"""The remove-only export: a LoRA that plain FluxFillPipeline takes, which needs none of our code.

It keeps what makes the background: LoRA and the known channels of the projection, at rank 384 instead of 448. It
drops the fused context, the second half of the sequence, the foreground and its VAE.
"""

from pathlib import Path

from safetensors.torch import load_file

from decoupage.adapter import AdapterConfig
from decoupage.bases import find_base
from decoupage.bases.spec import Base
from decoupage.publishing.card import CardFacts, write_card
from decoupage.publishing.folder import (
    WEIGHTS,
    Manifest,
    base_facts,
    find_folder,
    read_manifest,
    replacing,
    write_manifest,
)
from decoupage.publishing.lora import lora_metadata, projection_names, projection_tensors, write_lora


def export_remove_only(
    adapter: str | Path, folder: str | Path, card: CardFacts | None = None, revision: str | None = None
) -> None:
    """Write the remove-only export of a published adapter; the base's weights are not needed.

    Args:
        adapter: folder or Hub repository of the adapter.
        folder: to write, by the rules of `save_adapter`.
        card: figures measured *of the export*, which are not those of the adapter; None = fingerprint and licences of
            the adapter's data, and no figures.

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
    card = card or _inherited(manifest)
    tensors = {name.removeprefix(f"{base.network}."): t for name, t in load_file(place / WEIGHTS).items()}
    first, second = projection_names(base)
    change = tensors[second] @ tensors[first]
    tensors |= projection_tensors(base, change[:, : base.projection_dim].contiguous())
    with replacing(Path(folder)) as new:
        write_lora(new, base, tensors, lora_metadata(base, config, base.projection_dim))
        write_card(new, "remove-only", base, config, card)
        write_manifest(
            new,
            kind="remove-only",
            base=base_facts(base),
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


def _inherited(manifest: Manifest) -> CardFacts:
    return CardFacts(data_fingerprint=manifest.data_fingerprint, data_licences=manifest.data_licences)
