"""What the profile's nets need of a machine: their weights, and a GPU unless a CPU is asked for."""

from collections.abc import Iterator

from pipelines.config import MapsConfig
from pipelines.config.maps import ModelConfig
from pipelines.maps.choose import make_makers
from pipelines.maps.maker import ModelMaps
from pipelines.maps.net import chosen_device, is_here
from pipelines.maps.published import PublishedNet
from pipelines.maps.weights import NetFiles, look_for, remedy
from pipelines.needs import Need


def needs(config: MapsConfig) -> list[Need]:
    """Weights of each net, with their licence, and its device; nothing for classical makers."""
    nets = [maker.model for maker in make_makers(config) if isinstance(maker, ModelMaps)]
    return [need for net in nets if isinstance(net, PublishedNet) for need in _needs(net)]


def _needs(net: PublishedNet) -> Iterator[Need]:
    files = look_for(net.config, net.judge)
    found = files if isinstance(files, str) else f"{net.config.weights} in {files.folder}"
    step = remedy(net.section, net.config)
    yield Need(net.section, isinstance(files, NetFiles), f"{found} (licence: {net.licence})", step)
    if net.config.device != "cpu":
        yield _gpu(net.section, net.config)


def _gpu(section: str, config: ModelConfig) -> Need:
    device = chosen_device(config.device)
    present = device != "cpu" and is_here(device)
    found = device if present else "no GPU; a CPU takes seconds a picture"
    return Need(f"{section}.device", present, found, f'a machine with a GPU, or patience and {section}.device = "cpu"')
