"""What a run of the RGBA VAE requires of a machine in addition to its base: the network of the perceptual loss."""

from importlib.util import find_spec
from pathlib import Path

from decoupage.requirements import Requirement, Space, install_line
from decoupage.weights.files import read_sha256
from training.rgba_vae.config import RgbaVaeConfig

PACKAGES = ("lpips", "torchvision")
FILE, SHA256_START, GIGABYTES = "vgg16-397923af.pth", "397923af", 0.553
"""Weights of torchvision's VGG16 as torch's hub keeps them; their name holds the beginning of their hash."""
_OR_WITHOUT = "or set weights.perceptual = 0 (training.rgba_vae_changes, --set) to train without it"


def requirements(config: RgbaVaeConfig) -> list[Requirement]:
    """The packages and the file of LPIPS; none where the recipe gives it no weight. Imports torch."""
    if not config.weights.perceptual:
        return []
    import torch

    lacking = [name for name in PACKAGES if find_spec(name) is None]
    found = f"{', '.join(lacking)} not installed" if lacking else ", ".join(PACKAGES)
    get = f"{install_line('gpu')}, {_OR_WITHOUT}"
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    fault = _fault(path)
    download = "python -c \"import torchvision; torchvision.models.vgg16(weights='IMAGENET1K_V1')\""
    space = (Space(FILE, str(path.parent), GIGABYTES),) if fault and not path.is_file() else ()
    return [
        Requirement("rgba_vae.perceptual/packages", not lacking, found, get),
        Requirement("rgba_vae.perceptual/weights", not fault, fault or str(path), f"{download}, {_OR_WITHOUT}", space),
    ]


def _fault(path: Path) -> str:
    """What is wrong with the file of weights; empty if it is correct."""
    if not path.is_file():
        return f"LPIPS lacks {path} (torchvision's VGG16, {GIGABYTES * 1000:.0f} MB, BSD-3-Clause)"
    whole = read_sha256(path).startswith(SHA256_START)
    return "" if whole else f"{path} is damaged: its sha256 does not begin with {SHA256_START}; remove it"
