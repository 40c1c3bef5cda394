"""Whether a published model's files are present and complete, how to get them, and the pipeline loaded from them.

Nothing is downloaded: a run that starts with a download of 50 GB would surprise, and some licences require consent
first.
"""

import hashlib
from importlib.util import find_spec
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.requirements import Requirement, install_line, require
from decoupage.weights.files import hashes
from decoupage.weights.hub import split_revision
from decoupage.weights.models import DiffusersModel
from evaluation.config.baselines import FluxFill, ModelBaseline, SdxlInpainting
from evaluation.method import SAME_AREA
from evaluation.methods.published.catalogue import PUBLISHED


def requirements(name: str, config: ModelBaseline) -> list[Requirement]:
    """Files, packages and device of one enabled baseline, with the licence to know of."""
    published = PUBLISHED[name]
    packages = [
        Requirement(package, find_spec(package) is not None, f"{published.title} needs it", install_line("gpu"))
        for package in published.packages
    ]
    return [*packages, *_file_requirements(name, config)]


def load(name: str, config: ModelBaseline) -> Any:
    """The diffusers pipeline, on its device.

    Raises:
        BadSetup: something is missing or damaged; the message names each thing with its fix.
    """
    require(requirements(name, config))
    import diffusers
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    half = "bfloat16" if device.startswith("cuda") else "float32"
    dtype = getattr(torch, half if config.dtype == "auto" else config.dtype)
    loader = getattr(diffusers, PUBLISHED[name].pipeline)
    options = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    return loader.from_pretrained(str(_model(name, config).find()), **options).to(device)


def facts(name: str, config: ModelBaseline) -> dict[str, Any]:
    """What identifies its weights: their name, licence and hash.

    Raises:
        BadSetup: they are not here.
    """
    model = _model(name, config)
    folder = model.find()
    if folder is None:
        raise BadSetup(f"{name}: {model.fault()}. Fix: {model.fix()}")
    files = hashes(folder, folder.rglob("*.safetensors"))
    return {
        "weights": model.repo_id,
        "licence": PUBLISHED[name].licence,
        "weights_sha256": hashlib.sha256(canonical_json(files)).hexdigest(),
    }


def settings(config: ModelBaseline) -> dict[str, Any]:
    """The profile's settings of a model, except where its files are and where it runs; and how it changes size."""
    rule = SAME_AREA if isinstance(config, SdxlInpainting | FluxFill) else "its pipeline's own"
    said = config.model_dump(mode="json", exclude={"folder", "device"})
    return said | {"weights": split_revision(config.weights)[0], "resolution": rule}


def _model(name: str, config: ModelBaseline) -> DiffusersModel:
    published = PUBLISHED[name]
    repo_id, revision = split_revision(config.weights)
    return DiffusersModel(
        repo_id=repo_id,
        network=published.network,
        revision=revision,
        folder=config.folder,
        setting=f"evaluation.baselines.{name}.folder",
        consent=published.licence if published.gated else "",
    )


def _file_requirements(name: str, config: ModelBaseline) -> list[Requirement]:
    model, section = _model(name, config), f"evaluation.baselines.{name}"
    folder, licence = model.find(), f"(licence: {PUBLISHED[name].licence})"
    if folder is None:
        return [Requirement(section, False, f"{model.fault()} {licence}", model.fix(), model.space)]
    faults = [f"{name}/{part.name}: {part.fault}" for part in model.components() if part.fault]
    if faults:
        return [Requirement(section, False, fault, model.fix()) for fault in faults]
    return [Requirement(section, True, f"{config.weights} in {folder} {licence}", "")]
