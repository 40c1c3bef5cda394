"""Finds a net's files, judges them before work starts, and hashes them. Nothing is downloaded or loaded here.

Read are the three files of transformers' published layout. Weights come as safetensors or not at all: a `.bin` file
is a pickle, and pickles run code.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from decoupage.fingerprint import canonical_json
from decoupage.maps.config import ModelConfig

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


@dataclass(frozen=True)
class NetFiles:
    """A net's files in a folder, looked at and found fit.

    Attributes:
        folder: holds `FILES`.
        config: what `config.json` says.
    """

    folder: Path
    config: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Of all the files: changes when the net would compute something else."""
        return hashlib.sha256(canonical_json({name: _sha256(self.folder / name) for name in FILES})).hexdigest()


Judge = Callable[[dict[str, Any]], str]
"""Says what is wrong with a net's `config.json`; empty when nothing is."""


def look_for(config: ModelConfig, judge: Judge) -> NetFiles | str:
    """A net's files, in the folder that the profile names or in the Hub's cache; else a sentence on what is wrong."""
    folder = Path(config.folder) if config.folder else _cached(config)
    if folder is None:
        return f"{config.weights} is not in the Hub's cache"
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        return f"{folder} has no {', '.join(missing)}{_pickles(folder)}"
    if damage := _damage(folder / "model.safetensors"):
        return f"{folder}/model.safetensors is damaged ({damage})"
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except ValueError as error:
        return f"{folder}/config.json cannot be read ({error})"
    fault = judge(found) if isinstance(found, dict) else "it holds no object"
    return f"{folder}/config.json is of no net that fits: {fault}" if fault else NetFiles(folder, found)


def fix(section: str, config: ModelConfig) -> str:
    """The command that gets the files."""
    revision = "" if config.revision == "main" else f" --revision {config.revision}"
    return f"hf download {config.weights} {' '.join(FILES)}{revision}, or name a folder with them in {section}.folder"


def _cached(config: ModelConfig) -> Path | None:
    """The newest snapshot of the revision in the Hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    for name in FILES:
        path = try_to_load_from_cache(config.weights, name, revision=config.revision)
        if isinstance(path, str):
            return Path(path).parent
    return None


def _pickles(folder: Path) -> str:
    """A word on weights that are there and are not read."""
    found = sorted(path.name for path in folder.glob("*.bin")) + sorted(path.name for path in folder.glob("*.pt*"))
    return f" ({', '.join(found)} is a pickle, which is not read)" if found else ""


def _damage(path: Path) -> str:
    """What is wrong with a file of weights, by its header; empty when it is whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            return "" if tensors.keys() else "no tensors"
    except (SafetensorError, OSError) as error:
        return str(error)


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _hashed(path.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(64)
def _hashed(path: Path, num_bytes: int, changed_ns: int) -> str:
    """Hashed once a process for each state of the file: weights have up to 1.3 GB."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
