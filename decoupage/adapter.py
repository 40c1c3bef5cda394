"""What training may change in a base: LoRA on every attention and feed-forward layer, and a widened projection.

The base's own weights are frozen, the projection's bias too (published LoRA files cannot carry one bias only).
New columns of the projection start at zero, so that at the first step the network is still the base.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from peft import LoraConfig
from torch import nn

from decoupage.bases.spec import Base
from decoupage.contexts import ForegroundContext
from decoupage.fingerprint import Recipe
from decoupage.fusion import MultiModalLatentFusion
from decoupage.maps.choose import AutoMaps
from decoupage.maps.table import MAPS
from decoupage.projection import TrainedProjection
from decoupage.sequences import HALVES, Mode

_log = logging.getLogger(__name__)
ADAPTER = "decoupage"
"""Name of the LoRA inside the network."""


@dataclass(frozen=True)
class AdapterConfig:
    """What distinguishes one adapter from another; saved with it.

    Attributes:
        base: name of the base.
        rank, alpha: of the LoRA; alpha None = rank, that is a scale of 1.
        mode: how both halves share a sequence.
        foreground_context: see `contexts.ForegroundContext`.
        maps: which maps are fused; empty = no fused context, and no channels for it; those that name the halves stay.
        num_latents, fusion_dim, direct_queries: of the fusion module.
        size_px: side of the pictures it was trained on; the pipeline works on larger ones scaled down to that area.
        num_inference_steps: how often the network is called for a picture, unless the caller says otherwise.
        refine_masks: masks are first drawn to outlines in the picture (`decoupage.images.grabcut`).
        num_looks: how often a picture is taken apart, each time by the mask that the time before found
            (`decoupage.looks`); 1 = only by the given one.
        map_makers: what the maps of its training data were made by: name -> recipe of the maker
            (`decoupage.maps.choose.maker_of`); empty = unknown.
        map_picture_px: side of the pictures that those maps were made of; larger ones are scaled down to that area
            before maps are made.
        alpha_levels: alpha at the picture's own size up to the first becomes 0, from the second on 1, in between it is
            stretched.
    """

    base: str = "flux-fill"
    rank: int = 256
    alpha: float | None = None
    mode: Mode = "joint"
    foreground_context: ForegroundContext = "foreground"
    maps: tuple[str, ...] = tuple(MAPS)
    num_latents: int = 256
    fusion_dim: int = 512
    direct_queries: bool = False
    size_px: int = 1024
    num_inference_steps: int = 30
    refine_masks: bool = False
    num_looks: int = 1
    map_makers: Mapping[str, Recipe] = field(default_factory=dict, hash=False)
    map_picture_px: int = 1024
    alpha_levels: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"adapter.rank must be at least 1, got {self.rank}")
        for name in ("size_px", "num_inference_steps", "num_looks", "map_picture_px"):
            if getattr(self, name) < 1:
                raise ValueError(f"adapter.{name} must be at least 1, got {getattr(self, name)}")
        low, high = self.alpha_levels
        if not 0 <= low < high <= 1:
            raise ValueError(f"adapter.alpha_levels must be two rising numbers in [0, 1], got {[low, high]}")
        for name in ("maps", "map_makers"):
            if unknown := set(getattr(self, name)) - set(MAPS):
                raise ValueError(f"adapter.{name} may hold {', '.join(MAPS)}, got {', '.join(sorted(unknown))}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "AdapterConfig":
        """The inverse of `to_dict`. Raises ValueError for unknown keys."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"adapter config holds unknown keys: {', '.join(sorted(unknown))}")
        plain: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in values.items()}
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"maps": list(self.maps), "alpha_levels": list(self.alpha_levels)}

    def input_dim(self, base: Base) -> int:
        """Channels of a token that enters the network (`sequences`): 450 for FLUX.1-Fill with maps."""
        return base.token_dim + base.context_dim + len(HALVES) + (base.token_dim if self.maps else 0)

    def lora_config(self, base: Base) -> LoraConfig:
        """For peft: every attention and feed-forward layer of the base."""
        alpha = self.rank if self.alpha is None else self.alpha
        return LoraConfig(r=self.rank, lora_alpha=alpha, target_modules=base.lora_targets, init_lora_weights="gaussian")


def adapt(network: nn.Module, base: Base, config: AdapterConfig) -> None:
    """Freeze a base's network, widen its projection and add the LoRA, in place; trainable parts in fp32.

    At this point the network still computes what the base computes: LoRA's second factor and the new columns of
    the projection are zero.

    Raises:
        ValueError: the network is adapted already, or takes more channels than the adapter gives.
    """
    projection = getattr(network, base.input_projection)
    if not isinstance(projection, nn.Linear):
        raise ValueError(f"{base.name}: {base.input_projection} is a {type(projection).__name__}; load the base again")
    network.requires_grad_(requires_grad=False)
    input_dim = config.input_dim(base)
    setattr(network, base.input_projection, TrainedProjection(projection, input_dim))
    network.register_to_config(in_channels=input_dim, out_channels=base.token_dim)
    network.add_adapter(config.lora_config(base), adapter_name=ADAPTER)
    # Adding the LoRA freezes all else, so the projection is freed afterwards; a bias among LoRA files is not portable.
    for name, parameter in getattr(network, base.input_projection).named_parameters():
        parameter.requires_grad_(requires_grad=not name.endswith("bias"))
    for parameter in trainable(network):
        parameter.data = parameter.data.float()


def make_fusion(base: Base, config: AdapterConfig) -> MultiModalLatentFusion | None:
    """A new fusion module for the adapter's maps, in eval mode: it drops none of them. None when it takes none."""
    if not config.maps:
        return None
    fusion = MultiModalLatentFusion(
        token_dim=base.token_dim,
        dim=config.fusion_dim,
        num_latents=config.num_latents,
        modalities=config.maps,
        direct_queries=config.direct_queries,
    )
    return fusion.eval()


def trainable(network: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that training changes."""
    return (parameter for parameter in network.parameters() if parameter.requires_grad)


def auto_maps(config: AdapterConfig) -> AutoMaps:
    """What makes maps as those of an adapter's training data were made; none of those that it does not name."""
    if unknown := [name for name in config.maps if name not in config.map_makers]:
        _log.warning("the adapter does not say what made its maps of %s: they are left out", ", ".join(unknown))
    return AutoMaps.of(config.map_makers, config.map_picture_px)
