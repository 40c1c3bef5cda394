"""What the profile's nets need of a machine: their weights, and a GPU unless a CPU is asked for."""

from collections.abc import Iterator

from decoupage.maps.choose import make_makers
from decoupage.maps.config import ModelConfig
from decoupage.maps.net import NetFiles, chosen_device, is_here
from decoupage.maps.published import PublishedNet
from decoupage.requirements import Requirement
from pipelines.config import MapsConfig
from pipelines.licences.terms import licence_of


def requirements(config: MapsConfig) -> list[Requirement]:
    """Weights of each net, with their licence, and its device; nothing for classical makers."""
    nets = [maker for maker in make_makers(config) if isinstance(maker, PublishedNet)]
    return [requirement for net in nets for requirement in _requirements(net)]


def _requirements(net: PublishedNet) -> Iterator[Requirement]:
    files = net.look()
    found = files if isinstance(files, str) else f"{net.config.weights} in {files.folder}"
    found += f" (licence: {licence_of(net.weights)})"
    yield Requirement(net.section, isinstance(files, NetFiles), found, net.fix, net.space)
    if net.config.device != "cpu":
        yield _gpu(net.section, net.config)


def _gpu(section: str, config: ModelConfig) -> Requirement:
    device = chosen_device(config.device)
    present = device != "cpu" and is_here(device)
    found = device if present else "no GPU; a CPU takes seconds a picture"
    return Requirement(
        f"{section}.device", present, found, f'use a machine with a GPU, or set {section}.device = "cpu" and wait'
    )
