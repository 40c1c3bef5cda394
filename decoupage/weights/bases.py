"""Whether a base's weights are here and whole, and where they come from if not. Nothing is downloaded or loaded.

Looked at are folders in diffusers' layout and the Hub's cache. Of a key only its presence is told.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError, safe_open

from decoupage.requirements import Requirement

_INDEX = "model_index.json"
_SHARDED = ".safetensors.index.json"
_CONFIG = "config.json"


class Published(Protocol):
    """What must be known of a published model to find its files; every `Base` is one (see there)."""

    @property
    def name(self) -> str:
        """By which messages call it."""
        ...

    @property
    def repo_id(self) -> str:
        """Where it is published."""
        ...

    @property
    def licence(self) -> str:
        """Of its weights."""
        ...

    @property
    def packaged(self) -> Path | None:
        """Folder of weights that come with this package; None = they must be fetched."""
        ...

    @property
    def network(self) -> str:
        """The component that predicts, which every copy must have."""
        ...


def check_weights(base: Published, source: str | None = None) -> list[Requirement]:
    """Everything that `base.load(source)` would read.

    Args:
        source: hub id or folder; None = the published weights.

    Returns:
        A requirement for each component; where nothing is here, one, and one for the key of a gated download.
    """
    folder = weights_folder(base, source)
    if folder is None:
        return _absent(base, source)
    fix = f"copy it anew to {folder}" if source and Path(source).is_dir() else download_command(base, source)
    return [_check_component(base, folder / name, fix) for name in _components(base, folder)]


def download_command(base: Published, source: str | None = None) -> str:
    """The command that fetches the components, without the single-file copies that lie beside them."""
    return f"hf download {source or base.repo_id} --include {_INDEX} --include '*/*'"


def is_gated(base: Published) -> bool:
    """Whether the publisher asks for consent to a licence before a download."""
    return "Non-Commercial" in base.licence


def weights_folder(base: Published, source: str | None = None) -> Path | None:
    """Where the components lie: the given folder, the packaged one, or the Hub's cache; None = not here."""
    if source is None and base.packaged is not None and base.packaged.is_dir():
        return base.packaged
    if source is not None and Path(source).is_dir():
        return Path(source)
    for name in (_INDEX, f"{base.network}/{_CONFIG}"):
        try:
            cached = try_to_load_from_cache(source or base.repo_id, name)
        except HFValidationError:
            return None
        if isinstance(cached, str):
            return Path(cached).parents[name.count("/")]
    return None


def _absent(base: Published, source: str | None) -> list[Requirement]:
    repository = source or base.repo_id
    if "/" not in repository or repository.startswith((".", "/", "~")):
        fix = "give the folder of trained weights" if source is None else "look at the path"
        return [Requirement("weights", False, f"{base.name}: no weights at {repository}", fix)]
    page = f"{constants.ENDPOINT}/{repository}"
    fix = download_command(base, source)
    if not is_gated(base):
        return [Requirement("weights", False, f"{base.name}: {repository} is not here", fix)]
    consent = f"accept the licence ({base.licence}) at {page}, then: {fix}"
    return [
        Requirement("weights", False, f"{base.name}: {repository} is not here", consent),
        Requirement("HF_TOKEN", *_token(), f"make a token with read access at {constants.ENDPOINT}/settings/tokens"),
    ]


def _token() -> tuple[bool, str]:
    """Whether a key is there; it is not read."""
    if os.environ.get("HF_TOKEN"):
        return True, "set"
    if Path(constants.HF_TOKEN_PATH).is_file():
        return True, "stored by hf auth login"
    return False, "not set"


def _components(base: Published, folder: Path) -> list[str]:
    """Names of the components, from the folder's own list; without one, those that every base has."""
    path = folder / _INDEX
    if not path.is_file():
        return [base.network, "vae", "scheduler"]
    listed: dict[str, Any] = json.loads(path.read_text())
    return [
        name
        for name, kind in listed.items()
        if not name.startswith("_") and isinstance(kind, list) and all(kind) and len(kind) == 2
    ]


def _check_component(base: Published, folder: Path, fix: str) -> Requirement:
    name = f"{base.name}/{folder.name}"
    if not folder.is_dir() or not any(folder.iterdir()):
        return Requirement(name, False, "is not here", fix)
    # Only models have a config.json; tokenizers and schedulers have other files, and no weights.
    if not (folder / _CONFIG).is_file():
        needs_config = folder.name in (base.network, "vae")
        return Requirement(name, not needs_config, "has no config.json" if needs_config else "here", fix)
    faults = list(_faults(folder))
    if faults:
        return Requirement(name, False, "; ".join(faults), fix)
    tensors, size_gb = _extent(folder)
    return Requirement(name, True, f"{tensors} tensors, {size_gb:.2f} GB", "")


def _faults(folder: Path) -> Iterator[str]:
    """What is wrong with a model's weight files, read by their headers."""
    indices = sorted(folder.glob(f"*{_SHARDED}"))
    if not indices:
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            yield "has no .safetensors file"
        for path in files:
            if isinstance(keys := _keys(path), str):
                yield keys
    for index in indices:
        yield from _shard_faults(folder, index)


def _shard_faults(folder: Path, index: Path) -> Iterator[str]:
    """Every shard that the index names is here, and holds the tensors that the index puts there."""
    try:
        places: dict[str, str] = json.loads(index.read_text())["weight_map"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        yield f"{index.name} cannot be read"
        return
    shards = sorted(set(places.values()))
    for i, name in enumerate(shards, 1):
        path = folder / name
        if not path.is_file():
            yield f"{name} ({i} of {len(shards)}) is missing"
            continue
        keys = _keys(path)
        if isinstance(keys, str):
            yield keys
            continue
        wanted = {tensor for tensor, place in places.items() if place == name}
        if lacking := wanted - keys:
            yield f"{name} lacks {len(lacking)} of {len(wanted)} tensors, such as {min(lacking)}"


def _keys(path: Path) -> set[str] | str:
    """Names of a file's tensors; a sentence where the header is damaged or the file's end is missing."""
    try:
        with safe_open(path, framework="numpy") as tensors:
            return set(tensors.keys())
    except (SafetensorError, OSError) as error:
        return f"{path.name} is damaged ({error})"


def _extent(folder: Path) -> tuple[int, float]:
    """Number of tensors and GB of a whole model, as its index names them."""
    indices = sorted(folder.glob(f"*{_SHARDED}"))
    files = {name for index in indices for name in json.loads(index.read_text())["weight_map"].values()}
    paths = [folder / name for name in files] if files else sorted(folder.glob("*.safetensors"))
    return sum(len(_keys(path)) for path in paths), sum(path.stat().st_size for path in paths) / 1e9
