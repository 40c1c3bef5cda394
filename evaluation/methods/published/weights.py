"""Whether a published model's files are here and whole, what gets them if not, and the pipeline loaded from them.

Nothing is downloaded: a run that began by fetching 50 GB would surprise, and some licences want consent first.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.requirements import Requirement
from evaluation.config.baselines import ModelBaseline
from evaluation.methods.published.catalogue import PUBLISHED

_INDEX = "model_index.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _Description:
    """As `decoupage.weights.bases` wants a model described."""

    name: str
    repo_id: str
    licence: str
    network: str
    packaged: Path | None = None


def requirements(name: str, config: ModelBaseline) -> list[Requirement]:
    """Files, packages and device of one enabled baseline, with the licence to know of."""
    published = PUBLISHED[name]
    section = f"evaluation.baselines.{name}"
    found = [
        Requirement(package, find_spec(package) is not None, f"{published.title} needs it", "pip install -e '.[gpu]'")
        for package in published.packages
    ]
    folder = find_folder(config)
    if folder is None:
        told = f"{config.folder or config.weights} is not here (licence: {published.licence})"
        return [*found, Requirement(section, False, told, _fix(name, config))]
    return [*found, *_component_requirements(name, config, folder)]


def find_folder(config: ModelBaseline) -> Path | None:
    """Where the components lie: the folder that the profile names, or the Hub's cache; None = not here."""
    from huggingface_hub import try_to_load_from_cache

    if config.folder:
        return Path(config.folder) if Path(config.folder, _INDEX).is_file() else None
    cached = try_to_load_from_cache(config.weights, _INDEX, revision=config.revision)
    return Path(cached).parent if isinstance(cached, str) else None


def load(name: str, config: ModelBaseline) -> Any:
    """The diffusers pipeline, on its device.

    Raises:
        BadSetup: something is missing or damaged; the message names each thing with what mends it.
    """
    absent = [requirement for requirement in requirements(name, config) if not requirement.present]
    if absent:
        raise BadSetup(
            "; ".join(
                f"{requirement.name}: {requirement.found}. To mend it: {requirement.fix}" for requirement in absent
            )
        )
    import diffusers
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    half = "bfloat16" if device.startswith("cuda") else "float32"
    dtype = getattr(torch, half if config.dtype == "auto" else config.dtype)
    loader = getattr(diffusers, PUBLISHED[name].pipeline)
    options = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    return loader.from_pretrained(str(find_folder(config)), **options).to(device)


def facts(name: str, config: ModelBaseline) -> dict[str, Any]:
    """What identifies its weights: their name, licence and hash.

    Raises:
        BadSetup: they are not here.
    """
    folder = find_folder(config)
    if folder is None:
        raise BadSetup(f"{name}: {config.folder or config.weights} is not here. To mend it: {_fix(name, config)}")
    return {
        "weights": config.weights,
        "licence": PUBLISHED[name].licence,
        "weights_sha256": files_sha256(folder),
    }


def files_sha256(folder: Path) -> str:
    """One hash for all files of weights in a folder in diffusers' layout, from name and hash of each."""
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(folder.rglob("*.safetensors"))}
    return hashlib.sha256(canonical_json(files)).hexdigest()


def settings(config: ModelBaseline) -> dict[str, Any]:
    """What the profile says of a model, but for where its files lie and where it runs."""
    return config.model_dump(mode="json", exclude={"folder", "device", "revision"})


def _component_requirements(name: str, config: ModelBaseline, folder: Path) -> list[Requirement]:
    from decoupage.weights.bases import check_weights

    published = PUBLISHED[name]
    described = _Description(name, config.weights, published.licence, published.network)
    findings = check_weights(described, str(folder))
    section = f"evaluation.baselines.{name}"
    short = [finding for finding in findings if not finding.present]
    if not short:
        return [Requirement(section, True, f"{config.weights} in {folder} (licence: {published.licence})", "")]
    fix = f"copy it anew to {folder}" if config.folder else _fix(name, config)
    return [Requirement(section, False, f"{finding.name}: {finding.found}", fix) for finding in short]


def _fix(name: str, config: ModelBaseline) -> str:
    if config.folder:
        return f"put the model in diffusers' layout there, or leave evaluation.baselines.{name}.folder empty"
    revision = "" if config.revision == "main" else f" --revision {config.revision}"
    command = f"hf download {config.weights} --include {_INDEX} --include '*/*'{revision}"
    if not PUBLISHED[name].gated:
        return command
    return f"accept the licence at https://huggingface.co/{config.weights}, then: {command}"


def _sha256(path: Path) -> str:
    """A file in the Hub's cache has its hash for a name; others are read, about a second a gigabyte."""
    blob = path.resolve().name
    if _SHA256.fullmatch(blob):
        return blob
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
