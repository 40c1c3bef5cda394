"""Reading a published folder: the base, the adapter on it by diffusers' own loader, fusion and RGBA VAE."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from decoupage.adapter import ADAPTER, AdapterConfig
from decoupage.bases import find_base
from decoupage.bases.spec import Base, Components, Text
from decoupage.fusion import MultiModalLatentFusion
from decoupage.placing import load_options
from decoupage.publishing.card import CardFacts, card_facts
from decoupage.publishing.finding import find_folder
from decoupage.publishing.folder import MANIFEST, TEXT, WEIGHTS, read_manifest, require
from decoupage.publishing.lora import check_fits
from decoupage.publishing.text import has_text, read_text
from decoupage.weights.files import check_values

MODEL_WEIGHTS = "diffusion_pytorch_model.safetensors"
"""As diffusers names a model's file."""
_HUB_OPTIONS = ("token", "cache_dir", "local_files_only")


@dataclass(frozen=True)
class LoadedAdapter:
    """The parts of a LayerDecompositionPipeline.

    Attributes:
        components: components of the base, with the adapter on its network.
        vae_rgba: the RGBA VAE of the foreground.
        fusion: None where the adapter takes no maps.
        config: configuration of the adapter.
        card: what its `adapter.json` says of its data and figures, to be said again where it is saved again.
        empty_prompt: embedding of the empty prompt; None where the folder has none.
        load_text: loads the components that embed other prompts; None where nothing can be loaded.
    """

    components: Components
    vae_rgba: Any
    fusion: MultiModalLatentFusion | None
    config: AdapterConfig
    card: CardFacts
    empty_prompt: Text | None = None
    load_text: Callable[[], Components] | None = None


def load_adapter(
    folder: str | Path,
    base_source: str | Path | None = None,
    *,
    revision: str | None = None,
    check_sums: bool = True,
    quantise: str = "none",
    text: bool = False,
    **options: Any,
) -> LoadedAdapter:
    """Load a published adapter together with the base that it belongs to.

    Where the folder has the embedding of the empty prompt, text encoders are not loaded.

    Args:
        folder: folder or Hub repository of the adapter.
        base_source: folder or Hub repository of the base; None = the one that the adapter was trained on.
        revision: branch, tag or commit of the adapter's repository.
        check_sums: compare the sha256 of every file of the adapter with the published one.
        quantise: form of the network's weights, see `decoupage.placing.QUANTISED`.
        text: load the text encoders in any case.
        options: options of diffusers' `from_pretrained` for the base (`dtype`, ...).

    Raises:
        ValueError: a file is missing, damaged or holds values that are not finite (named), a remove-only export, or a
            base of another geometry; quantised weights that are not possible here.
    """
    hub = {name: options[name] for name in _HUB_OPTIONS if name in options}
    place = find_folder(folder, revision, **hub)
    base, config, card = _read(place, check_sums)
    source = None if base_source is None else str(base_source)
    options = load_options(base, quantise, options.get("dtype")) | options
    left_out = dict.fromkeys(base.text_parts) if has_text(place) and not text else {}
    loaded = _attach(place, base, config, card, base.load(source, **left_out | options))
    return replace(loaded, load_text=partial(base.load_text, source, **options) if base.text_parts else None)


def attach_adapter(
    folder: str | Path, components: Mapping[str, Any], *, revision: str | None = None, check_sums: bool = True
) -> LoadedAdapter:
    """Load a published adapter on a base that is loaded already; its network is changed in place.

    Args:
        folder: folder or Hub repository of the adapter.
        components: components of the base, by the names diffusers gives them.
        revision, check_sums: as for `load_adapter`.

    Raises:
        ValueError: as `load_adapter`.
    """
    place = find_folder(folder, revision)
    return _attach(place, *_read(place, check_sums), components)


def _read(place: Path, check_sums: bool) -> tuple[Base, AdapterConfig, CardFacts]:
    manifest = read_manifest(place, check_sums)
    if manifest.kind != "adapter":
        raise ValueError(f"{place} is a {manifest.kind} export: load it with load_lora_weights of diffusers' pipeline")
    try:
        config = AdapterConfig.from_dict(manifest.adapter)
    except (TypeError, ValueError) as error:  # The first for values of another type than they are compared with.
        raise ValueError(f"{place / MANIFEST} is damaged: {error}") from error
    weights = _weights(place, config)
    configs = [path.with_name("config.json") for path in weights[1:]]
    require(place, manifest, *(path.relative_to(place).as_posix() for path in (*weights, *configs)))
    for path in (*weights, *([place / TEXT] if TEXT in manifest.files else [])):
        check_values(path)
    return find_base(config.base), config, card_facts(manifest)


def _weights(place: Path, config: AdapterConfig) -> list[Path]:
    """The file of LoRA and projection, then those of the models beside it."""
    models = ["vae_rgba", *(["fusion"] if config.maps else [])]
    return [place / WEIGHTS, *(place / model / MODEL_WEIGHTS for model in models)]


def _attach(place: Path, base: Base, config: AdapterConfig, card: CardFacts, components: Components) -> LoadedAdapter:
    network, vae = components[base.network], components["vae"]
    if network.dtype == torch.float16:  # The other formats hold whatever is finite.
        for path in _weights(place, config):
            check_values(path, torch.finfo(torch.float16).max)
    check_fits(place / WEIGHTS, network, base, config)
    # The loader is a method of the base's pipeline; making one of loaded components copies nothing. It looks into
    # the VAE's config, and a base may have another VAE than the pipeline's own, so it gets none.
    pipeline = base.pipeline_class(**{**components, "vae": None})
    with _without_advice_on_text_encoders():
        pipeline.load_lora_weights(place, weight_name=WEIGHTS, adapter_name=ADAPTER)
    network.requires_grad_(requires_grad=False)
    fusion = load_model(MultiModalLatentFusion, place / "fusion", network) if config.maps else None
    # A widened VAE is of the class of the VAE that it came from.
    vae_rgba = load_model(type(vae), place / "vae_rgba", vae)
    text = read_text(place) if has_text(place) else None
    return LoadedAdapter(components, vae_rgba, fusion, config, card, text)


@contextmanager
def _without_advice_on_text_encoders() -> Iterator[None]:
    """Leave out diffusers' warning that an adapter has no LoRA for the text encoder: ours never have one."""
    logger = logging.getLogger("diffusers.loaders.lora_base")

    def keep(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("No LoRA keys associated to")

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def load_model(kind: Any, folder: Path, like: nn.Module) -> Any:
    """A model from its folder, in the type and on the device of another model.

    Raises:
        ValueError: the folder's files are damaged, or the weights are not those of this class; loaded anyway, parts of
            it would be empty.
    """
    try:
        model, found = kind.from_pretrained(folder, dtype=like.dtype, output_loading_info=True)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} is damaged or of another model than {kind.__name__}: {error}") from error
    keys = {what: sorted(found[f"{what}_keys"])[:3] for what in ("missing", "unexpected")}
    wrong = [f"{what} {', '.join(names)}" for what, names in keys.items() if names]
    if wrong:
        raise ValueError(f"{folder} was written by another version of decoupage ({'; '.join(wrong)}): train it again")
    return model.to(like.device)
