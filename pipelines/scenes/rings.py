"""The rings that scenes draw from: cutouts that can fill a size class and follow a rule, photographs for a canvas.

And how often plans may ask for each size class, so that the few cutouts that can fill a large one are not overused.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from pipelines.config import ScenesConfig
from pipelines.config.scenes import SIZE_CLASSES, SizeClass
from pipelines.library.objects import objects, support_of
from pipelines.library.records import BackgroundRecord, ForegroundRecord, Split
from pipelines.library.ring import Ring
from pipelines.library.table import RecordTable
from pipelines.scenes.plan import ClassWeights, Kind, Rule, kind_shares
from pipelines.scenes.terrain import CAMERA_M, MAX_SIZE_FACTOR

WEIGHT_STEP = 1 / 64
"""Step in which the share of layers of a size class is limited; chosen by us."""
NAMES: Mapping[Kind, str] = {
    "real": "real foreground",
    "generated": "generated foreground",
    "cutouts": "cutout of your own",
}
NEAR_REACH = 0.6
"""Height of the horizon above the foot of what stands near by, in canvases."""


def support_needs(table: RecordTable[ForegroundRecord], config: ScenesConfig) -> list[str]:
    """By row, the support that a cutout needs of a photograph; empty where it needs none."""
    if config.placement.kind == "free":
        return [""] * len(table)
    return [support_of(noun) for noun in table.texts("object")]


def largest_share(width_px: Any, height_px: Any, area_px: Any, config: ScenesConfig) -> Any:
    """The share of the canvas that a cutout can fill, for numbers or arrays: by enlargement, and by its box.

    At most `scenes.size.max_enlargement`, and so that its box is within the canvas, turned too.
    """
    turn = np.deg2rad(config.max_rotation_deg)
    long, short = np.maximum(width_px, height_px), np.minimum(width_px, height_px)
    side_px = long * np.cos(turn) + short * np.sin(turn)
    return area_px * np.minimum(config.size.max_enlargement / config.size_px, 1 / side_px) ** 2


def foreground_rings(
    table: RecordTable[ForegroundRecord], origins: NDArray[np.int32], config: ScenesConfig, split: Split
) -> dict[tuple[Kind, SizeClass, Rule], Ring]:
    """Kind, size class, rule -> the cutouts of the kind that can fill the class and follow the rule.

    Raises:
        BadSetup: there are none.
    """
    ring = Ring.of(table.texts("id"), origins, config.virtual_nodes)
    areas_px = table.numbers("area_px")
    reachable = largest_share(table.numbers("width_px"), table.numbers("height_px"), areas_px, config)
    rings: dict[tuple[Kind, SizeClass, Rule], Ring] = {}
    for kind in [kind for kind, share in kind_shares(config).items() if share > 0]:
        of_kind = _of_kind(table, kind, config)
        if not of_kind.any():
            own = "" if config.cutouts_share is None else f" and scenes.cutouts_share {config.cutouts_share}"
            raise BadSetup(
                f"scenes.generated_share is {config.generated_share}{own}, but the library has no {NAMES[kind]} in "
                f"split {split!r}; add a source or change the share"
            )
        for size_class in config.size.drawn:
            large = of_kind & (reachable >= config.size.shares(size_class)[0])
            if not large.any():
                raise BadSetup(
                    f"no {NAMES[kind]} in split {split!r} can fill the size class {size_class} at "
                    f"{config.size_px} px: it needs {config.min_area_px(size_class):.0f} px in a box that fits the "
                    f"canvas, and the largest of {of_kind.sum()} has {areas_px[of_kind].max():.0f} px; add larger "
                    f"ones, set the class's weight in scenes.size.weights to 0, or raise scenes.size.max_enlargement"
                )
            for rule, wanted in _followers(table, config, size_class).items():
                found = [large & mask for mask in wanted if (large & mask).any()]
                if found:
                    rings[kind, size_class, rule] = ring.among(found[0])
                elif config.placement.free_share < 1:
                    raise BadSetup(
                        f"of {large.sum()} layers ({NAMES[kind]}) in split {split!r} that can fill the size class "
                        f"{size_class}, none has an object whose support is known (pipelines/library/objects.csv); "
                        f'add some with a category, prompt or caption, or set scenes.placement.kind = "free"'
                    )
    return rings


def class_weights(rings: Mapping[tuple[Kind, SizeClass, Rule], Ring], config: ScenesConfig) -> ClassWeights:
    """The recipe's weights of size classes, limited for each kind by the cutouts that can fill a class.

    Cutouts that can fill a class can fill smaller ones too. If n of all N cutouts of a kind can fill a class, at most
    `scenes.size.max_use_ratio` * n / N of the layers are planned to be in it or a larger one: then these cutouts are
    used that many times as often as the mean of their kind, at most. What a class loses goes to the smaller ones.
    """
    rule: Rule = "free" if config.placement.kind == "free" else "supported"
    drawn = config.size.drawn
    wanted = dict(zip(SIZE_CLASSES, config.size.weights, strict=True))
    total = sum(wanted[name] for name in drawn)
    found: dict[Kind, tuple[float, ...]] = {}
    for kind in dict.fromkeys(kind for kind, _, _ in rings):
        num = {name: rings[kind, name, rule].num_assets for name in drawn if (kind, name, rule) in rings}
        shares = dict.fromkeys(SIZE_CLASSES, 0.0)
        larger = 0.0
        for i, name in reversed(list(enumerate(drawn))):
            limit = config.size.max_use_ratio * num[name] / num[drawn[0]] if num else 1.0
            # In steps, because a weight that followed every cutout would move many scenes whenever one goes.
            limit = math.floor(limit / WEIGHT_STEP) * WEIGHT_STEP
            at_least = min(sum(wanted[other] for other in drawn[i:]) / total, limit)
            shares[name], larger = at_least - larger, at_least
        found[kind] = tuple(shares.values())
    return found


def background_ring(
    table: RecordTable[BackgroundRecord], origins: NDArray[np.int32], config: ScenesConfig, split: Split
) -> Ring:
    """The photographs that fill the canvas without being enlarged too much, with layouts where these are needed.

    Raises:
        BadSetup: there are none.
    """
    if not len(table):
        raise BadSetup(f"the library has no background in split {split!r}; add a source")
    sides_px = np.minimum(table.numbers("width_px"), table.numbers("height_px"))
    large = sides_px * config.max_background_enlargement >= config.size_px
    if not large.any():
        raise BadSetup(
            f"no background in split {split!r} can fill {config.size_px} px: the largest of {len(table)} has a shorter "
            f"side of {sides_px.max()} px; add larger ones, or raise scenes.max_background_enlargement"
        )
    if config.placement.kind == "supported":
        large &= np.array([sha256 != "" for sha256 in table.texts("layout_sha256")], bool)
        if not large.any():
            raise BadSetup("no background of the library has a layout; make the layouts, then the library again")
    return Ring.of(table.texts("id"), origins, config.virtual_nodes).among(large)


def _of_kind(table: RecordTable[ForegroundRecord], kind: Kind, config: ScenesConfig) -> NDArray[np.bool_]:
    """Where a layer of a kind may draw: own cutouts are real ones, unless the recipe names their share."""
    own = table.equals("source", "cutouts")
    if kind == "cutouts":
        return own
    found = table.equals("kind", kind)
    return found if config.cutouts_share is None else found & ~own


def _followers(
    table: RecordTable[ForegroundRecord], config: ScenesConfig, size_class: SizeClass
) -> dict[Rule, tuple[NDArray[np.bool_], ...]]:
    """Rule -> which cutouts follow it, and which do where there are none of these."""
    everything = np.ones(len(table), bool)
    if config.placement.kind == "free":
        return {"free": (everything,)}
    known = np.array([support_of(noun) != "" for noun in table.texts("object")], bool)
    # How high the class makes a cutout at least, and its object may be at most where it stands near by, in canvases.
    heights = np.sqrt(config.size.shares(size_class)[0] / table.numbers("area_px")) * table.numbers("height_px")
    whole = np.array([not {"t", "b"} & set(cut_sides) for cut_sides in table.texts("cut_sides")], bool)
    highest = np.array([_height_m(noun) for noun in table.texts("object")]) / CAMERA_M * NEAR_REACH * MAX_SIZE_FACTOR
    # Where every object is known, known ones fill the free share, and keep to their support.
    return {"supported": (known & ((heights <= highest) | ~whole), known), "free": (~known, everything)}


def _height_m(noun: str) -> float:
    return (objects()[noun].height_m if noun in objects() else None) or np.inf
