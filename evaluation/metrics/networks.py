"""The networks of learned metrics: which of them a profile names, what is missing for the others, and their loading."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from decoupage.requirements import Requirement
from decoupage.weights.files import PinnedFile
from evaluation.config import MetricsConfig, WeightsConfig
from evaluation.metrics.catalogue import METRICS, Net, Part
from evaluation.metrics.weights import read_state

if TYPE_CHECKING:
    from evaluation.metrics.inception import Inception
    from evaluation.metrics.perceptual import Lpips

_SETTING = "evaluation.metrics"
_ABSENT: dict[Net, str] = {
    "lpips": f"LPIPS needs the weights of its network: name torchvision's alexnet-owt-7be5be79.pth in "
    f"{_SETTING}.lpips.trunk and lpips' weights/v0.1/alex.pth in {_SETTING}.lpips.head (docs/evaluation.md)",
    "inception": f"FID and KID need the weights of the Inception network: name torch-fidelity's "
    f"weights-inception-2015-12-05-6726825d.pth in {_SETTING}.inception (docs/evaluation.md)",
}


@dataclass(frozen=True)
class Networks:
    """Networks that are there; what needs one of the others is not measured."""

    lpips: "Lpips | None" = field(default=None, repr=False)
    inception: "Inception | None" = field(default=None, repr=False)

    @property
    def not_measured(self) -> dict[tuple[Part, str], str]:
        """Metrics that cannot be measured without a network that is not there, and how to get it."""
        absent = {name: reason for name, reason in _ABSENT.items() if getattr(self, name) is None}
        return {
            (metric.part, metric.name): absent[metric.net]
            for metric in METRICS
            if metric.net is not None and metric.net in absent
        }


def load_networks(config: MetricsConfig) -> Networks:
    """What the profile names, on the GPU where there is one; nothing is downloaded.

    Raises:
        BadSetup: a file that is named is not there, has another hash, or holds other weights.
    """
    if config.lpips is None and config.inception is None:
        return Networks()
    import torch

    from evaluation.metrics.inception import Inception
    from evaluation.metrics.perceptual import Lpips

    device = "cuda" if torch.cuda.is_available() else "cpu"
    states = {name: read_state(weights, f"{_SETTING}.{name}") for name, weights in _named(config).items()}
    lpips = Lpips(states["lpips.trunk"], states["lpips.head"], device) if config.lpips else None
    return Networks(lpips, Inception(states["inception"], device) if config.inception else None)


def requirements(config: MetricsConfig) -> list[Requirement]:
    """A requirement for each file that the profile names; a metric whose file is not named is not measured."""
    fix = "get the file as docs/evaluation.md says, or remove the setting: then the metric is not measured"
    found = []
    for name, weights in _named(config).items():
        why = PinnedFile(weights.path, weights.sha256).fault()
        found.append(Requirement(f"{_SETTING}.{name}", not why, why or weights.path, fix))
    for name, reason in _ABSENT.items():
        if getattr(config, name) is None:
            found.append(Requirement(f"{_SETTING}.{name}", True, f"optional: not measured without it. {reason}", ""))
    return found


def _named(config: MetricsConfig) -> dict[str, WeightsConfig]:
    lpips = {} if config.lpips is None else {"lpips.trunk": config.lpips.trunk, "lpips.head": config.lpips.head}
    return lpips if config.inception is None else {**lpips, "inception": config.inception}
