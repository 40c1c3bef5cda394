"""What a scene is to be, before any asset is drawn: layers, sizes, who hides whom, who reaches over the border.

A plan is drawn once a scene. Later attempts change assets and positions, never the plan, so that rejections do
not bend the distributions that the profile sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from decoupage.randomness import generator
from pipelines.config import ScenesConfig
from pipelines.config.scenes import SIZE_CLASSES, SizeClass

Level = Literal["none", "light", "medium", "heavy"]
Rule = Literal["supported", "free"]
Kind = Literal["real", "generated", "cutouts"]
"""What a layer draws from; `cutouts`, own cutouts alone, where the recipe names their share. They are real, too."""
LEVELS: tuple[Level, ...] = ("none", "light", "medium", "heavy")
ClassWeights = Mapping[Kind, tuple[float, ...]]
"""Weights of `SIZE_CLASSES` for the layers of each kind: those of the recipe, limited by what the library can fill."""

Size = TypeVar("Size", int, tuple[int, int], tuple[int, float])


@dataclass(frozen=True)
class LayerPlan:
    """What one layer is to be.

    Attributes:
        occlusion: how much of it the layers above are to hide.
        occluder: index of the layer that hides it; None when nothing does.
        rule: how its place is chosen: by what carries its object, or freely because that is not known.
    """

    kind: Kind
    size_class: SizeClass
    border_contact: bool
    occlusion: Level = "none"
    occluder: int | None = None
    rule: Rule = "free"


def plan_scene(config: ScenesConfig, weights: ClassWeights, key: str) -> tuple[LayerPlan, ...]:
    """The layers of a scene from bottom to top: a function of the recipe, the weights of size classes, and the key."""
    rng = generator(config.seed, "plan", key)
    num_layers = 1 + _choose(rng, config.num_layers_weights)
    kinds = [_kind(config, rng.random()) for _ in range(num_layers)]
    contacts = [bool(rng.random() < config.border.contact_share) for _ in range(num_layers)]
    sizes = _sizes(config, [weights[kind] for kind in kinds], rng)
    levels: list[Level] = ["none"] * num_layers
    occluders: list[int | None] = [None] * num_layers
    if num_layers > 1 and rng.random() < config.occlusion.scene_share:
        # Something must be hidden; and two heavily hidden layers in a row leave no place for the third.
        while all(level == "none" for level in levels) or levels.count("heavy") > 1:
            levels = [LEVELS[_choose(rng, config.occlusion.weights)] for _ in range(num_layers - 1)] + ["none"]
        for i, level in enumerate(levels):
            if level == "none":
                continue
            occluders[i] = int(rng.integers(i + 1, num_layers))
        # A layer's kind goes with its size, or the sizes of one kind would reach the other.
        ordered = occluders_larger(list(zip(sizes, range(num_layers), strict=True)), occluders)
        sizes, kinds = [sizes[i] for _, i in ordered], [kinds[i] for _, i in ordered]
    rules: list[Rule] = ["free"] * num_layers
    if config.placement.kind == "supported":
        rules = ["free" if rng.random() < config.placement.free_share else "supported" for _ in range(num_layers)]
    return tuple(
        LayerPlan(kinds[i], SIZE_CLASSES[sizes[i]], contacts[i], levels[i], occluders[i], rules[i])
        for i in range(num_layers)
    )


def kind_shares(config: ScenesConfig) -> dict[Kind, float]:
    """Kind -> share of layers that draw from it."""
    own = config.cutouts_share or 0.0
    rest = 1 - config.generated_share - own
    return {"real": rest if rest > 1e-9 else 0.0, "generated": config.generated_share, "cutouts": own}


def occluders_larger(sizes: Sequence[Size], occluders: Sequence[int | None]) -> list[Size]:
    """The sizes, exchanged until no layer is larger than the one that hides it: a small one cannot hide much of it.

    Args:
        sizes: of the layers, from bottom to top.
        occluders: for each layer the index of one above it, or None.
    """
    ordered = list(sizes)
    pairs = [(below, above) for below, above in enumerate(occluders) if above is not None]
    while any(ordered[above] < ordered[below] for below, above in pairs):
        for below, above in pairs:
            if ordered[above] < ordered[below]:
                ordered[above], ordered[below] = ordered[below], ordered[above]
    return ordered


def _sizes(config: ScenesConfig, weights: Sequence[tuple[float, ...]], rng: np.random.Generator) -> list[int]:
    """Size classes, by the weights for each layer, whose smallest areas together fit the canvas."""
    lows = [config.size.shares(name)[0] for name in SIZE_CLASSES]
    while True:
        sizes = [_choose(rng, of_layer) for of_layer in weights]
        if sum(lows[size] for size in sizes) <= config.size.max_total_share:
            return sizes


def _kind(config: ScenesConfig, point: float) -> Kind:
    """The kind at a point of [0, 1)."""
    shares = kind_shares(config)
    if point < shares["generated"]:
        return "generated"
    # Where nothing is left for the last kind, rounding must not reach it.
    return "cutouts" if shares["cutouts"] > 0 and (point < 1 - shares["real"] or not shares["real"]) else "real"


def _choose(rng: np.random.Generator, weights: tuple[float, ...]) -> int:
    total = np.cumsum(weights)
    return int(np.searchsorted(total, rng.random() * total[-1], side="right"))
