"""One attempt at a scene: scale, turn, place and render the drawn assets, and check the result against the plan."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from decoupage.images.alpha import alpha_box, resize_alpha, resize_rgba
from decoupage.images.codecs import decode_rgb, encode_jpeg
from decoupage.images.types import Rgb, Rgba
from decoupage.randomness import generator
from pipelines.config import ScenesConfig
from pipelines.config.scenes import SIZE_CLASSES
from pipelines.library.assets import Assets
from pipelines.library.objects import Object, objects, support_of
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.scenes.draws import Draw
from pipelines.scenes.harmonise import harmonise
from pipelines.scenes.parts import Layer, SceneParts, Shadow
from pipelines.scenes.placement import Rejected, Sprite, place
from pipelines.scenes.plan import LayerPlan, Rule, occluders_larger
from pipelines.scenes.rings import largest_share
from pipelines.scenes.shadow import CASTING, contact_shadow
from pipelines.scenes.terrain import GRID, MAX_LEAN_DEG, Terrain, anchor, ideal_heights

MIN_VISIBLE_SHARE = 0.0005
"""Share of the canvas: a target with a smaller visible part cannot be marked by a mask."""
_MIRROR = str.maketrans("lr", "rl")


@dataclass(frozen=True)
class Pose:
    """How a cutout is turned before it is placed."""

    scale: float
    flipped: bool
    rotation_deg: float
    cut_sides: str


@dataclass(frozen=True)
class Placement:
    """By which rule a layer found its place, and how well it fits there.

    Attributes:
        support: what carries it, one of `pipelines.library.layout.SUPPORTS`; empty for a free one.
        height_ratio: its height in the picture / that which its object would have there; None where that is not known.
    """

    rule: Rule
    support: str = ""
    height_ratio: float | None = None


@dataclass(frozen=True)
class Composed:
    """An accepted attempt.

    Attributes:
        background_jpeg: the stored bytes; what they decode to is `parts.background`.
        background_crop: (left, top, side) in pixels of the upright photograph.
    """

    parts: SceneParts
    background_jpeg: bytes
    background_crop: tuple[int, int, int]
    poses: tuple[Pose, ...]
    placements: tuple[Placement, ...]


def compose(
    key: str, plan: Sequence[LayerPlan], draw: Draw, config: ScenesConfig, assets: Assets, attempt: int
) -> Composed:
    """Try to make a scene of the drawn assets.

    Args:
        attempt: 0 for the first; later ones draw from the lower end of each size class, because what fills the canvas
            too much at its usual size can often be placed smaller.

    Raises:
        Rejected: `no_room`, `unsupported`, `scale`, `overlap`, `occlusion`, `occlusion_missed` or `hidden`.
    """
    rng = generator(config.seed, "scene", f"{key}/{attempt}")
    things = [_thing(record, config) for record in draw.foregrounds]
    positions = _positions(plan, 1 - attempt / config.max_attempts, rng)
    poses = [_pose(*drawn, config, rng) for drawn in zip(plan, draw.foregrounds, things, positions, strict=True)]
    cutouts = [
        assets.cutout(record)[:, ::-1] if pose.flipped else assets.cutout(record)
        for pose, record in zip(poses, draw.foregrounds, strict=True)
    ]
    sprites = [_sprite(*drawn, config) for drawn in zip(cutouts, poses, things, strict=True)]
    crop = _crop(draw.background, config, rng)
    terrain = None
    if any(things):
        terrain = Terrain.of(assets.layout(draw.background), draw.background, crop)
    corners = place(sprites, plan, terrain, config, rng)
    jpeg = encode_jpeg(crop_square(assets.photograph(draw.background), crop, config.size_px), config.jpeg_quality)
    background = decode_rgb(jpeg)
    layers, placements = [], []
    for cutout, pose, layer, corner, sprite in zip(cutouts, poses, plan, corners, sprites, strict=True):
        rgba, box = _render(cutout, pose, layer, corner, sprite, config.size_px, rng)
        placements.append(_placement(rgba, box, cutout.shape[0] * pose.scale, sprite, terrain, config.size_px))
        shadow = _shadow(rgba, box, pose, placements[-1], config)
        layers.append(Layer(harmonise(rgba, background, box, config.harmonisation), box, shadow))
    parts = SceneParts(key, background, tuple(layers), {})
    for i, layer in enumerate(plan):
        _check_shown(parts, i, layer, config)
    return Composed(parts, jpeg, crop, tuple(poses), tuple(placements))


def touches_border(box: tuple[int, int, int, int], size_px: int) -> bool:
    """True when a box reaches the canvas' border."""
    return box[0] == 0 or box[1] == 0 or box[2] == size_px or box[3] == size_px


def _thing(record: ForegroundRecord, config: ScenesConfig) -> Object | None:
    """What is known of a cutout's object, where its place follows from that."""
    return objects()[record.object] if config.placement.kind == "supported" and support_of(record.object) else None


def _positions(plan: Sequence[LayerPlan], room: float, rng: np.random.Generator) -> list[float]:
    """Where each layer is in its size class, 0..1; of two layers of one class, the larger is the one that hides."""
    sizes = [(SIZE_CLASSES.index(layer.size_class), room * float(rng.random())) for layer in plan]
    return [position for _, position in occluders_larger(sizes, [layer.occluder for layer in plan])]


def _pose(
    layer: LayerPlan,
    record: ForegroundRecord,
    thing: Object | None,
    position: float,
    config: ScenesConfig,
    rng: np.random.Generator,
) -> Pose:
    low, high = config.size.shares(layer.size_class)
    # Draws are from cutouts that reach the low end.
    reachable = max(low, float(largest_share(record.width_px, record.height_px, record.area_px, config)))
    # Uniform in the logarithm: half and double are equally far.
    share = low * (min(high, reachable) / low) ** position
    scale = float(np.sqrt(share * config.size_px**2 / record.area_px))
    # A mirrored text cannot be read; what is not known may carry one.
    mirrors = record.object in objects() and not objects()[record.object].lettering
    flipped = bool(rng.random() < config.flip_share) and mirrors
    lean_deg = config.max_rotation_deg if thing is None or thing.support == "sky" else MAX_LEAN_DEG
    rotation_deg = round(float(rng.uniform(-1, 1)) * min(lean_deg, config.max_rotation_deg), 2)
    cut = record.cut_sides.translate(_MIRROR) if flipped else record.cut_sides
    # A straight cut edge that is turned no longer lies along the border.
    return Pose(round(scale, 6), flipped, 0.0 if cut else rotation_deg, cut)


def _sprite(cutout: Rgba, pose: Pose, thing: Object | None, config: ScenesConfig) -> Sprite:
    cells = pose.scale * GRID / config.size_px
    width, height = max(1, round(cutout.shape[1] * cells)), max(1, round(cutout.shape[0] * cells))
    alpha = resize_alpha(np.ascontiguousarray(cutout[..., 3]), width, height, pose.rotation_deg)
    if not alpha.any():
        raise Rejected("hidden")
    return Sprite(alpha, pose.cut_sides, thing)


def _crop(record: BackgroundRecord, config: ScenesConfig, rng: np.random.Generator) -> tuple[int, int, int]:
    width, height = record.upright_size
    short = min(width, height)
    smallest = min(short, math.ceil(config.size_px / config.max_background_enlargement))
    side = max(smallest, round(short * (1 - rng.random() * config.max_background_crop)))
    return int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1)), side


def crop_square(photograph: Rgb, crop: tuple[int, int, int], size_px: int) -> Rgb:
    """Cut (left, top, side) out of a photograph and resize it to [size_px, size_px, 3].

    Area averaging downwards and bicubic upwards: no aliasing either way, and the fastest pair measured.
    """
    left, top, side = crop
    window = np.ascontiguousarray(photograph[top : top + side, left : left + side])
    method = cv2.INTER_AREA if side >= size_px else cv2.INTER_CUBIC
    return cv2.resize(window, (size_px, size_px), interpolation=method).astype(np.uint8)


def _render(
    cutout: Rgba,
    pose: Pose,
    layer: LayerPlan,
    corner: tuple[int, int],
    sprite: Sprite,
    size_px: int,
    rng: np.random.Generator,
) -> tuple[Rgba, tuple[int, int, int, int]]:
    """The cutout at its place at full size, cropped to what is on the canvas, and its box there."""
    width, height = max(1, round(cutout.shape[1] * pose.scale)), max(1, round(cutout.shape[0] * pose.scale))
    rgba = resize_rgba(np.ascontiguousarray(cutout), width, height, pose.rotation_deg)
    cell = size_px / GRID
    # Anywhere in the cell that was chosen for the corner, or for what touches the support.
    row, column = anchor(rgba[..., 3], sprite.support)
    top = math.floor((corner[0] + sprite.anchor[0] + rng.random()) * cell) - row
    left = math.floor((corner[1] + sprite.anchor[1] + rng.random()) * cell) - column
    height, width = rgba.shape[:2]
    if not layer.border_contact or pose.cut_sides:
        top = _keep(top, height, size_px, "t" in pose.cut_sides, "b" in pose.cut_sides)
        left = _keep(left, width, size_px, "l" in pose.cut_sides, "r" in pose.cut_sides)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, size_px), min(top + height, size_px)
    if x0 >= x1 or y0 >= y1 or not (seen := rgba[y0 - top : y1 - top, x0 - left : x1 - left])[..., 3].any():
        raise Rejected("hidden")
    box = alpha_box(seen[..., 3])
    tight = np.ascontiguousarray(seen[box[1] : box[3], box[0] : box[2]])
    return tight, (x0 + box[0], y0 + box[1], x0 + box[2], y0 + box[3])


def _placement(
    rgba: Rgba, box: tuple[int, int, int, int], height_px: float, sprite: Sprite, terrain: Terrain | None, size_px: int
) -> Placement:
    """Judge a rendered layer's place by its own pixels. Raises Rejected: nothing carries it after all."""
    thing = sprite.thing
    if thing is None or terrain is None:
        return Placement("free")
    support = terrain.under(thing, rgba[..., 3], box, size_px)
    if not support:
        raise Rejected("unsupported")
    if thing.height_m is None or box[3] == size_px or {"t", "b"} & set(sprite.cut_sides):
        return Placement("supported", support)
    row, column = anchor(rgba[..., 3], thing.support)
    cell = (np.array([at * GRID // size_px]) for at in (row + box[1], column + box[0]))
    ideal = float(ideal_heights(thing.height_m, terrain, *cell)[0, 0])
    return Placement("supported", support, round(height_px * GRID / size_px / max(ideal, 1e-3), 3))


def _shadow(
    rgba: Rgba, box: tuple[int, int, int, int], pose: Pose, placement: Placement, config: ScenesConfig
) -> Shadow | None:
    """The shadow of a layer whose foot is seen where it stands; None of any other, or where none are wanted."""
    stands = placement.support in CASTING and box[3] < config.size_px and "b" not in pose.cut_sides
    return contact_shadow(rgba[..., 3], box, config.size_px) if config.placement.contact_shadow and stands else None


def _keep(start: int, length: int, size_px: int, cut_low: bool, cut_high: bool) -> int:
    """Shift an interval so that a cut end lies on or over the border and a whole end stays one pixel off it."""
    if cut_low:
        return min(start, 0)
    if cut_high:
        return max(start, size_px - length)
    return max(1, min(start, size_px - length - 1))


def _check_shown(parts: SceneParts, i: int, layer: LayerPlan, config: ScenesConfig) -> None:
    low, high = getattr(config.occlusion, layer.occlusion)
    if not low <= parts.occluded_fraction(i) <= high:
        raise Rejected("occlusion_missed")
    if parts.visible_mask(i).sum() < MIN_VISIBLE_SHARE * config.size_px**2:
        raise Rejected("hidden")
