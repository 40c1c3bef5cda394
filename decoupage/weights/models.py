"""A model in diffusers' layout: components in folders of their own, listed in `model_index.json`.

It lies in a folder or in the Hub's cache. What is read of it are the headers of its weights.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoupage.requirements import Requirement, Space
from decoupage.weights.files import file_fault, tensor_names
from decoupage.weights.hub import MAIN, cache_space, download, named, page, snapshot, token_requirement
from decoupage.weights.sizes import MODELS, TEXT, told

INDEX = "model_index.json"
_CONFIG = "config.json"


@dataclass(frozen=True)
class Component:
    """One component: what is wrong with it (empty when it is whole), and how much it holds."""

    name: str
    fault: str
    extent: str


@dataclass(frozen=True)
class DiffusersModel:
    """A model whose files are wanted.

    Attributes:
        repo_id: where it is published; revision: branch, tag or commit of that.
        network: the component that predicts, which every copy must have.
        folder: where it lies instead of in the Hub's cache; empty = in the cache.
        setting: where the profile names the folder, for the fix.
        consent: the licence to be accepted before a download; empty = none.
        unlisted: components of a copy without `model_index.json`; empty = every copy must have it.
        variant: precision (`fp16`) in which the weights are read where the network has them in it.
        patterns: what a download takes besides `model_index.json`; single-file copies lie next to the components.
        left_out: components that are not wanted, because an adapter brings the embedding of the empty prompt.
    """

    repo_id: str
    network: str
    revision: str = MAIN
    folder: str = ""
    setting: str = ""
    consent: str = ""
    unlisted: tuple[str, ...] = ()
    variant: str = ""
    patterns: tuple[str, ...] = ("*/*",)
    left_out: tuple[str, ...] = ()

    def find(self) -> Path | None:
        """The folder of the components: the one that is named, or a snapshot in the Hub's cache; None = not here."""
        names = (INDEX, f"{self.network}/{_CONFIG}") if self.unlisted else (INDEX,)
        if self.folder:
            folder = Path(self.folder)
            return folder if any((folder / name).is_file() for name in names) else None
        return next((found for name in names if (found := snapshot(self.repo_id, name, self.revision))), None)

    def fault(self) -> str:
        """What is not here or not whole, in a few words; empty when nothing is. `components` says more."""
        folder = self.find()
        if folder is None:
            if self.folder:
                return f"no weights at {self.folder}"
            files = f"{INDEX}, {', '.join(self.patterns)}, {told(self.num_bytes)}"
            return f"{named(self.repo_id, self.revision)} is not in the Hub's cache ({files})"
        lacking = [component.name for component in self.components() if component.fault]
        return f"{folder} lacks {', '.join(lacking)}" if lacking else ""

    @property
    def num_bytes(self) -> int | None:
        """Size of the published weights; None = not known."""
        whole = MODELS.get((self.repo_id, self.variant))
        return whole - TEXT.get(self.repo_id, 0) if whole and self.left_out else whole

    @property
    def space(self) -> tuple[Space, ...]:
        """Room that its download takes; none where it is here, or lies in a folder."""
        return () if self.folder or not self.fault() else cache_space(self.repo_id, self.num_bytes)

    def fix(self) -> str:
        """What gets the files, or mends them."""
        found = self.find()
        if self.folder:
            if found:
                return f"copy it again to {self.folder}"
            setting = f" in {self.setting}" if self.setting else ""
            return f"put the model in diffusers' layout there, or name another one{setting}"
        # Each pattern has its own --include: hf takes a bare one for the name of a file.
        patterns = "".join(f" --include '{pattern}'" for pattern in self.patterns)
        patterns += "".join(f" --exclude '{name}/*'" for name in self.left_out)
        command = download(self.repo_id, f"--include {INDEX}{patterns}", self.revision)
        if not self.consent or found:
            return command
        return f"accept the licence ({self.consent}) at {page(self.repo_id)}, then: {command}"

    def components(self) -> list[Component]:
        """Every component that loading would read, with what is wrong with it; none where the model is not here."""
        folder = self.find()
        if folder is None:
            return []
        variant = self.variant_in(folder)
        return [self._check(folder / name, variant) for name in self._names(folder)]

    def requirements(self, name: str) -> list[Requirement]:
        """A requirement for each component; where nothing is here, one, and one for the key of a gated download.

        Args:
            name: by which messages call the model.
        """
        fix = self.fix()
        if self.find() is None:
            weights = Requirement("weights", False, f"{name}: {self.fault()}", fix, self.space)
            return [weights, token_requirement()] if self.consent and not self.folder else [weights]
        return [
            Requirement(f"{name}/{part.name}", not part.fault, part.fault or part.extent, fix if part.fault else "")
            for part in self.components()
        ]

    def files(self) -> list[Path]:
        """The weight files that loading reads; none where the model is not here."""
        folder = self.find()
        if folder is None:
            return []
        variant = self.variant_in(folder)
        return [path for name in self._names(folder) for path in _weights(folder / name, variant)]

    def variant_in(self, folder: Path) -> str:
        """`variant` where the network has its weights in it, else empty."""
        return self.variant if self.variant and _weights(folder / self.network, self.variant) else ""

    def _names(self, folder: Path) -> list[str]:
        """Names of the components, by the folder's own list."""
        path = folder / INDEX
        if not path.is_file():
            return [name for name in self.unlisted if name not in self.left_out]
        listed: dict[str, Any] = json.loads(path.read_text())
        return [
            name
            for name, kind in listed.items()
            if isinstance(kind, list) and all(kind) and len(kind) == 2
            if not name.startswith("_") and name not in self.left_out
        ]

    def _check(self, folder: Path, variant: str) -> Component:
        if not folder.is_dir() or not any(folder.iterdir()):
            return Component(folder.name, "is not here", "")
        # Only models have a config.json; tokenizers and schedulers have other files, and no weights.
        if not (folder / _CONFIG).is_file():
            is_model = folder.name in (self.network, "vae") or any(folder.glob("*.safetensors"))
            return Component(folder.name, "has no config.json" if is_model else "", "here")
        if faults := list(_faults(folder, variant)):
            return Component(folder.name, "; ".join(faults), "")
        paths = _weights(folder, variant)
        num_tensors, size_gb = sum(len(tensor_names(path)) for path in paths), _size_gb(paths)
        return Component(folder.name, "", f"{num_tensors} tensors, {size_gb:.2f} GB")


def _indices(folder: Path, variant: str) -> list[Path]:
    """Lists of shards in one precision: `x.safetensors.index.json`, `x.safetensors.index.fp16.json`."""
    end = f".safetensors.index.{variant}.json" if variant else ".safetensors.index.json"
    return sorted(path for path in folder.glob("*.json") if path.name.endswith(end))


def _weights(folder: Path, variant: str) -> list[Path]:
    """Weight files of a component in one precision: `x.safetensors`, `x.fp16.safetensors`, or shards of such."""
    named = sorted(
        path for path in folder.glob("*.safetensors") if path.stem.partition(".")[2].partition("-")[0] == variant
    )
    sharded = {place for index in _indices(folder, variant) for place in _places(index).values()}
    return [path for path in named if path.name in sharded] if sharded else named


def _places(index: Path) -> dict[str, str]:
    """Tensor -> shard, as a list of shards says; empty where it cannot be read."""
    try:
        return dict(json.loads(index.read_text())["weight_map"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return {}


def _faults(folder: Path, variant: str) -> Iterator[str]:
    """What is wrong with a component's weight files, by their headers."""
    indices = _indices(folder, variant)
    if not indices:
        files = _weights(folder, variant)
        if not files:
            yield f"has no {f'.{variant}' if variant else ''}.safetensors file"
        yield from filter(None, map(file_fault, files))
    for index in indices:
        yield from _shard_faults(folder, index)


def _shard_faults(folder: Path, index: Path) -> Iterator[str]:
    """Every shard that the index names is here, and holds the tensors that the index puts there."""
    places = _places(index)
    if not places:
        yield f"{index.name} cannot be read"
    shards = sorted(set(places.values()))
    for i, name in enumerate(shards, 1):
        if not (folder / name).is_file():
            yield f"{name} ({i} of {len(shards)}) is missing"
            continue
        try:
            found = tensor_names(folder / name)
        except ValueError as fault:
            yield str(fault)
            continue
        wanted = {tensor for tensor, place in places.items() if place == name}
        if lacking := wanted - found:
            yield f"{name} lacks {len(lacking)} of {len(wanted)} tensors, such as {min(lacking)}"


def _size_gb(paths: list[Path]) -> float:
    return sum(path.stat().st_size for path in paths) / 1e9
