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
from pipelines.library.records import ForegroundRecord
from pipelines.scenes.draws import Draw, largest_share
from pipelines.scenes.harmonise import harmonise
from pipelines.scenes.parts import Layer, SceneParts
from pipelines.scenes.placement import GRID, Rejected, Sprite, place
from pipelines.scenes.plan import LayerPlan, occluders_larger

MIN_VISIBLE_SHARE = 0.0005
"""Of the canvas: a target that shows less cannot be asked for with a mask."""
_MIRROR = str.maketrans("lr", "rl")


@dataclass(frozen=True)
class Pose:
    """How a cutout is turned before it is placed."""

    scale: float
    flipped: bool
    rotation_deg: float
    cut_sides: str


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


def compose(
    key: str, plan: Sequence[LayerPlan], draw: Draw, config: ScenesConfig, assets: Assets, attempt: int
) -> Composed:
    """Try to make a scene of the drawn assets.

    Args:
        attempt: 0 for the first; later ones draw from the lower end of each size class, for what fills the canvas
            too much at its usual size can often be placed smaller.

    Raises:
        Rejected: `no_room`, `overlap`, `occlusion`, `occlusion_missed` or `hidden`.
    """
    rng = generator(config.seed, "scene", f"{key}/{attempt}")
    positions = _positions(plan, 1 - attempt / config.max_attempts, rng)
    poses = [_pose(*drawn, config, at, rng) for *drawn, at in zip(plan, draw.foregrounds, positions, strict=True)]
    cutouts = [
        assets.cutout(record)[:, ::-1] if pose.flipped else assets.cutout(record)
        for pose, record in zip(poses, draw.foregrounds, strict=True)
    ]
    sprites = [_sprite(cutout, pose, config) for cutout, pose in zip(cutouts, poses, strict=True)]
    corners = place(sprites, plan, config, rng)
    photograph = assets.photograph(draw.background)
    crop = _crop(photograph.shape[1], photograph.shape[0], config, rng)
    jpeg = encode_jpeg(crop_square(photograph, crop, config.size_px), config.jpeg_quality)
    background = decode_rgb(jpeg)
    layers = []
    for cutout, pose, layer, corner in zip(cutouts, poses, plan, corners, strict=True):
        rgba, box = _render(cutout, pose, layer, corner, config.size_px, rng)
        layers.append(Layer(harmonise(rgba, background, box, config.harmonisation), box))
    parts = SceneParts(key, background, tuple(layers), {})
    for i, layer in enumerate(plan):
        _check_shown(parts, i, layer, config)
    return Composed(parts, jpeg, crop, tuple(poses))


def touches_border(box: tuple[int, int, int, int], size_px: int) -> bool:
    """True when a box reaches the canvas' border."""
    return box[0] == 0 or box[1] == 0 or box[2] == size_px or box[3] == size_px


def _positions(plan: Sequence[LayerPlan], room: float, rng: np.random.Generator) -> list[float]:
    """Where each layer is in its size class, 0..1; of two layers of one class, the larger is the one that hides."""
    sizes = [(SIZE_CLASSES.index(layer.size_class), room * float(rng.random())) for layer in plan]
    return [position for _, position in occluders_larger(sizes, [layer.occluder for layer in plan])]


def _pose(
    layer: LayerPlan, record: ForegroundRecord, config: ScenesConfig, position: float, rng: np.random.Generator
) -> Pose:
    low, high = config.size.shares(layer.size_class)
    # Draws are from cutouts that reach the low end.
    reachable = max(low, float(largest_share(record.width_px, record.height_px, record.area_px, config)))
    # Uniform in the logarithm: half and double are equally far.
    share = low * (min(high, reachable) / low) ** position
    scale = float(np.sqrt(share * config.size_px**2 / record.area_px))
    flipped = bool(rng.random() < config.flip_share)
    rotation_deg = round(float(rng.uniform(-config.max_rotation_deg, config.max_rotation_deg)), 2)
    cut = record.cut_sides.translate(_MIRROR) if flipped else record.cut_sides
    # A straight cut edge that is turned no longer lies along the border.
    return Pose(round(scale, 6), flipped, 0.0 if cut else rotation_deg, cut)


def _sprite(cutout: Rgba, pose: Pose, config: ScenesConfig) -> Sprite:
    cells = pose.scale * GRID / config.size_px
    width, height = max(1, round(cutout.shape[1] * cells)), max(1, round(cutout.shape[0] * cells))
    alpha = resize_alpha(np.ascontiguousarray(cutout[..., 3]), width, height, pose.rotation_deg)
    if not alpha.any():
        raise Rejected("hidden")
    return Sprite(alpha, pose.cut_sides)


def _crop(width: int, height: int, config: ScenesConfig, rng: np.random.Generator) -> tuple[int, int, int]:
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
    cutout: Rgba, pose: Pose, layer: LayerPlan, corner: tuple[int, int], size_px: int, rng: np.random.Generator
) -> tuple[Rgba, tuple[int, int, int, int]]:
    """The cutout at its place at full size, cropped to what is on the canvas, and its box there."""
    width, height = max(1, round(cutout.shape[1] * pose.scale)), max(1, round(cutout.shape[0] * pose.scale))
    rgba = resize_rgba(np.ascontiguousarray(cutout), width, height, pose.rotation_deg)
    cell = size_px / GRID
    top = round((corner[0] + rng.random()) * cell)
    left = round((corner[1] + rng.random()) * cell)
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
