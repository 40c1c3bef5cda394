"""Where the weights lie, whether they are whole, and what is in them. Nothing is downloaded or loaded.

Weights are many gigabytes, and some want consent to a licence: they are fetched by the command that an error or
`decoupage doctor` names, never by a run.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from decoupage.faults import BadSetup
from decoupage.requirements import Requirement
from pipelines.config import GeneratedConfig
from pipelines.foregrounds.layerdiffuse.settings import LICENCES, Family, File, Settings, settings

NETWORK: dict[Family, str] = {"sdxl": "unet", "flux": "transformer"}
_MODELS = ("vae", "text_encoder", "text_encoder_2")
_HALF = "fp16"
_INDEX = "model_index.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Weights:
    """All files of a run.

    Attributes:
        base: folder in diffusers' layout.
        variant: `fp16` where the base has its weights in half precision too, and they are wanted.
    """

    base: Path
    variant: str | None
    adapter: Path
    decoder: Path


def find_weights(wanted: Settings) -> Weights:
    """The files of a run, in the folders that the profile names or in the Hub's cache.

    Raises:
        BadSetup: something is not here; the message names each with the command that gets it.
    """
    base, adapter, decoder = _base(wanted), _file(wanted, wanted.adapter), _file(wanted, wanted.decoder)
    if base is None or adapter is None or decoder is None or _lacking(wanted, base):
        absent = [requirement for requirement in _file_requirements(wanted) if not requirement.present]
        raise BadSetup(
            "; ".join(
                f"{requirement.name}: {requirement.found}. To mend it: {requirement.fix}" for requirement in absent
            )
        )
    return Weights(base, _variant(wanted, base), adapter, decoder)


def requirements(config: GeneratedConfig) -> list[Requirement]:
    """What the profile's generator needs, with the licences to know of; nothing for drawn shapes."""
    if config.generator == "procedural":
        return []
    wanted = settings(config)
    return [*_file_requirements(wanted), _device(wanted)]


def digests(weights: Weights, family: Family) -> dict[str, str]:
    """SHA-256 of every weight file that decides a picture, by `component/name`.

    A file in the Hub's cache has its hash for a name; others are read, which takes about a second a gigabyte.
    """
    files = {path.name: path for path in (weights.adapter, weights.decoder)}
    for component in (NETWORK[family], *_MODELS):
        files |= {f"{component}/{path.name}": path for path in _model_files(weights.base / component, weights.variant)}
    return {name: _sha256(path) for name, path in sorted(files.items())}


def _sha256(path: Path) -> str:
    blob = path.resolve().name
    if _SHA256.fullmatch(blob):
        return blob
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _base(wanted: Settings) -> Path | None:
    if Path(wanted.base).is_dir():
        return Path(wanted.base)
    index = _cached(wanted.base, _INDEX)
    return index.parent if index else None


def _file(wanted: Settings, file: File) -> Path | None:
    place, name = wanted.weights or file[0], file[1]
    if Path(place).is_dir():
        path = Path(place) / name
        return path if path.is_file() else None
    return _cached(place, name)


def _cached(repository: str, name: str) -> Path | None:
    try:
        found = try_to_load_from_cache(repository, name)
    except HFValidationError:  # A path, and there is no such folder.
        return None
    return Path(found) if isinstance(found, str) else None


def _variant(wanted: Settings, base: Path) -> str | None:
    halved = any((base / NETWORK[wanted.family]).glob(f"*.{_HALF}*.safetensors"))
    return _HALF if halved and wanted.dtype != "float32" else None


def _model_files(folder: Path, variant: str | None) -> list[Path]:
    """Weight files of a component in one precision: one, or the parts of one."""
    halves = set(folder.glob(f"*.{_HALF}*.safetensors"))
    return sorted(halves if variant else set(folder.glob("*.safetensors")) - halves)


def _lacking(wanted: Settings, base: Path) -> list[str]:
    """Components that are not there or not whole."""
    variant = _variant(wanted, base)
    models = (NETWORK[wanted.family], *_MODELS)
    lacking = [name for name in models if not _is_whole(base / name, variant)]
    others = ("tokenizer", "tokenizer_2", "scheduler")
    return lacking + [name for name in others if not any((base / name).glob("*.json"))]


def _is_whole(folder: Path, variant: str | None) -> bool:
    files = _model_files(folder, variant)
    if not files or not (folder / "config.json").is_file():
        return False
    indices = [path for path in folder.glob("*.safetensors.index*.json") if (_HALF in path.name) == bool(variant)]
    here = {path.name for path in files}
    parts = {name for path in indices for name in json.loads(path.read_text())["weight_map"].values()}
    return parts <= here


def _file_requirements(wanted: Settings) -> list[Requirement]:
    base = _base(wanted)
    lacking = _lacking(wanted, base) if base else []
    if base is None:
        found = f"{wanted.base} is not here"
    else:
        found = f"{base} lacks {', '.join(lacking)}" if lacking else str(base)
    requirements = [Requirement("layerdiffuse.base", base is not None and not lacking, found, _base_fix(wanted))]
    for role, file in (("adapter", wanted.adapter), ("decoder", wanted.decoder)):
        path, place = _file(wanted, file), wanted.weights or file[0]
        fix = f"hf download {place} {file[1]}"
        if wanted.weights.startswith((".", "/", "~")) or Path(wanted.weights or "-").is_dir():
            fix = f"put {file[1]} there: hf download {file[0]} {file[1]} --local-dir {wanted.weights}"
        requirements.append(
            Requirement(f"layerdiffuse.{role}", path is not None, str(path or f"{place} has no {file[1]}"), fix)
        )
    return requirements


def _base_fix(wanted: Settings) -> str:
    if wanted.base.startswith((".", "/", "~")):
        return "look at generated.base: it must be a folder in diffusers' layout or a Hub repository"
    weights = "'*/*.fp16.safetensors'" if wanted.family == "sdxl" and wanted.dtype != "float32" else "'*/*.safetensors'"
    # Each pattern has its own --include: hf takes a bare one for the name of a file.
    files = " --include ".join((_INDEX, "'*/*.json'", "'*/*.txt'", "'*/*.model'", weights))
    consent = f"accept the licence ({LICENCES['flux']}) on the base's page, then: " if wanted.family == "flux" else ""
    return f"{consent}hf download {wanted.base} --include {files}"


def _device(wanted: Settings) -> Requirement:
    import torch

    if wanted.device == "cpu":
        return Requirement("layerdiffuse.device", True, "cpu, as the profile says: minutes a picture", "")
    present = has_device(wanted)
    found = torch.cuda.get_device_name(wanted.device) if present else f"{wanted.device} is not here"
    return Requirement("layerdiffuse.device", present, found, device_fix())


def has_device(wanted: Settings) -> bool:
    """Whether the profile's device is in this machine."""
    import torch

    number = int(wanted.device.partition(":")[2] or 0)
    return wanted.device == "cpu" or number < torch.cuda.device_count()


def device_fix() -> str:
    """What to do where the profile's device is not here."""
    return "run it where a GPU is, or set DECOUPAGE__GENERATED__DEVICE=cpu and wait"
