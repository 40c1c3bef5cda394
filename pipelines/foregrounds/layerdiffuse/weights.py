"""The files that a LayerDiffuse run reads: a base in diffusers' layout, an adapter, a decoder; and its device.

Weights are many gigabytes, and some require consent to a licence: they are fetched by the command that an error or
`decoupage doctor` names, never by a run.
"""

from dataclasses import dataclass
from pathlib import Path

from decoupage.requirements import Requirement, require
from decoupage.weights.files import hashes
from decoupage.weights.hub import HubFiles, is_folder, split_revision
from decoupage.weights.models import DiffusersModel
from pipelines.config import GeneratedConfig
from pipelines.foregrounds.layerdiffuse.safety import SafetyFilter
from pipelines.foregrounds.layerdiffuse.settings import LICENCES, Family, File, Settings, settings

NETWORK: dict[Family, str] = {"sdxl": "unet", "flux": "transformer"}
_HALF = "fp16"


@dataclass(frozen=True)
class Weights:
    """All files of a run.

    Attributes:
        base: folder in diffusers' layout; base_files: those of its weights that are read.
        variant: `fp16` where the base has its weights in half precision too, and they are wanted.
    """

    base: Path
    base_files: tuple[Path, ...]
    variant: str | None
    adapter: Path
    decoder: Path


def find_weights(wanted: Settings) -> Weights:
    """The files of a run, in the folders that the profile names or in the Hub's cache.

    Raises:
        BadSetup: something is not here or not whole; the message names each with the command that gets it.
    """
    require(_file_requirements(wanted))
    base = _base(wanted)
    folder, adapter, decoder = base.find(), _file(wanted, wanted.adapter).find(), _file(wanted, wanted.decoder).find()
    assert folder and adapter and decoder, "what is required is here"
    return Weights(
        base=folder,
        base_files=tuple(base.files()),
        variant=base.variant_in(folder) or None,
        adapter=adapter / wanted.adapter[1],
        decoder=decoder / wanted.decoder[1],
    )


def requirements(config: GeneratedConfig) -> list[Requirement]:
    """What the profile's generator and its safety filter need; nothing for rendered objects."""
    safety = [SafetyFilter(config.safety_filter).requirement()] if config.safety_filter.use else []
    if config.generator == "rendered":
        return safety
    wanted = settings(config)
    return [*_file_requirements(wanted), _device(wanted), *safety]


def digests(weights: Weights) -> dict[str, str]:
    """SHA-256 of every weight file that decides a picture: of the base by `component/name`, of the others by name."""
    found = hashes(weights.base, weights.base_files)
    for path in (weights.adapter, weights.decoder):
        found |= hashes(path.parent, [path])
    return dict(sorted(found.items()))


def _base(wanted: Settings) -> DiffusersModel:
    flux = wanted.family == "flux"
    half = wanted.dtype != "float32"
    files = "*/*.fp16.safetensors" if half and not flux else "*/*.safetensors"
    repo_id, revision = split_revision(wanted.base)
    return DiffusersModel(
        repo_id=repo_id,
        network=NETWORK[wanted.family],
        revision=revision,
        folder=wanted.base if is_folder(wanted.base) else "",
        setting="generated.base",
        consent=LICENCES["flux"] if flux else "",
        variant=_HALF if half else "",
        patterns=("*/*.json", "*/*.txt", "*/*.model", files),
    )


def _file(wanted: Settings, file: File) -> HubFiles:
    """A file that its publisher gives, or another place that the profile names."""
    if wanted.weights and is_folder(wanted.weights):
        return HubFiles(file[0], (file[1],), folder=wanted.weights)
    repo_id, revision = split_revision(wanted.weights or file[0])
    return HubFiles(repo_id, (file[1],), revision)


def _file_requirements(wanted: Settings) -> list[Requirement]:
    base = _base(wanted)
    fault = base.fault()
    requirements = [Requirement("layerdiffuse.base", not fault, fault or str(base.find()), base.fix(), base.space)]
    for role, file in (("adapter", wanted.adapter), ("decoder", wanted.decoder)):
        files = _file(wanted, file)
        fix = f"put {file[1]} there: {files.fix()} --local-dir {files.folder}" if files.folder else files.fix()
        fault = files.fault()
        found = fault or f"{files.find()}/{file[1]}"
        requirements.append(Requirement(f"layerdiffuse.{role}", not fault, found, fix, files.space))
    return requirements


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
    return "run it on a machine with a GPU, or set DECOUPAGE__GENERATED__DEVICE=cpu and wait"
