"""A scene as its parts: what is stored, and how everything else is derived from it.

The decoded parts are the truth. The composite, the visible masks and the occluded fractions are derived here and
nowhere else, so what is stored, verified, shown and trained on agrees bit for bit.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.images import alpha as alpha_arithmetic
from decoupage.images.codecs import decode_mask, decode_opacity, decode_rgb
from decoupage.images.reading import read_picture
from decoupage.images.types import Gray, Mask, Rgb, Rgba
from decoupage.text_files import parse_json

Part = TypeVar("Part")
Box = tuple[int, int, int, int]
MAX_LAYERS = 8
MAX_CANVAS_PX = 4096 * 4096
"""Beyond what any recipe makes; a few kB of pictures must not become gigabytes."""

VISIBLE_ALPHA = 26
"""Alpha (of 255) from which a pixel belongs to a layer's mask: about a tenth, so that glass has a mask."""
VISIBLE_TRANSMITTANCE = 128
"""Light (of 255) that the layers above must let through for a pixel to count as visible."""


@dataclass(frozen=True)
class Shadow:
    """What a layer darkens under itself: opacity of black, cropped to `box` = (left, top, right, bottom)."""

    opacity: Gray
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Layer:
    """One placed layer: its cutout, cropped to `box` = (left, top, right, bottom) on the canvas.

    Attributes:
        shadow: lies under the layer and over everything below it, and goes where the layer goes. It hides nothing.
    """

    rgba: Rgba
    box: tuple[int, int, int, int]
    shadow: Shadow | None = None


@dataclass(frozen=True)
class SceneParts:
    """The decoded truth of one scene; layers from bottom to top.

    Attributes:
        record: the scene's json.
        imperfect_masks: [H, W] of the canvas, one per layer; empty where none were drawn yet.
    """

    key: str
    background: Rgb
    layers: tuple[Layer, ...]
    record: dict[str, Any]
    imperfect_masks: tuple[Mask, ...] = ()

    @classmethod
    def decode(cls, key: str, members: Mapping[str, bytes], with_masks: bool = True) -> "SceneParts":
        """Read a scene from its members, by suffix (`background.jpg`, `layer0.webp`, `mask0.png`, `json`).

        Its imperfect masks, and its layers' shadows (`shadow0.png`), are read where the json names them. What is
        read of the json is checked, and a picture's size before it is decoded: the members may come from anywhere.

        Args:
            key: of the scene.
            members: by suffix.
            with_masks: False leaves the imperfect masks out; `decode_mask_of` reads one.

        Raises:
            BadItem: a member is absent or damaged, or does not have the size that the json says; the detail names it.
        """
        record = read_record(key, members)
        background = decoded(key, members, "background.jpg", decode_rgb)
        size = (background.shape[0], background.shape[1])
        if size[0] * size[1] > MAX_CANVAS_PX:
            raise BadItem("too_large", f"{key}.background.jpg has {size[1]}x{size[0]} px, scenes have fewer")
        layers = []
        for i, entry in enumerate(record["layers"]):
            shadow = None
            if shadow_box := entry.get("shadow_box"):
                box = _box(key, shadow_box, size)
                shadow = Shadow(_boxed(decoded(key, members, f"shadow{i}.png", decode_opacity), box, key), box)
            box = _box(key, entry.get("box"), size)
            expected = (box[3] - box[1], box[2] - box[0])
            read = partial(read_picture, upright=False, expected=expected)
            layers.append(Layer(decoded(key, members, f"layer{i}.webp", read).rgba, box, shadow))
        parts = cls(key, background, tuple(layers), record)
        masked = [i for i, entry in enumerate(record["layers"]) if with_masks and "mask_error" in entry]
        return replace(parts, imperfect_masks=tuple(parts.decode_mask_of(i, members) for i in masked))

    def decode_mask_of(self, i: int, members: Mapping[str, bytes]) -> Mask:
        """[H, W]: the imperfect mask of layer i.

        Raises:
            BadItem: it is absent or damaged, or does not have the scene's size; the detail names it.
        """
        mask = decoded(self.key, members, f"mask{i}.png", decode_mask)
        if mask.shape != self.size:
            raise BadItem("shape_mismatch", f"{self.key}.mask{i}.png has {mask.shape[1]}x{mask.shape[0]} px")
        return mask

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the canvas in pixels."""
        return self.background.shape[0], self.background.shape[1]

    @property
    def has_foreground(self) -> bool:
        """Whether its layers are known completely, as those of a composed scene are."""
        return True

    @cached_property
    def composite(self) -> Rgb:
        """[H, W, 3]: all layers, each over its shadow, over the background."""
        return self.flatten()

    def flatten(self, without: int | None = None) -> Rgb:
        """[H, W, 3]: the layers with their shadows over the background, without one of them when asked.

        That is a triplet's background: neither the target nor its shadow is in it.
        """
        canvas = self.background.copy()
        for i, layer in enumerate(self.layers):
            if i == without:
                continue
            if layer.shadow:
                window = _window(canvas, layer.shadow.box)
                window[...] = alpha_arithmetic.darken(window, layer.shadow.opacity)
            window = _window(canvas, layer.box)
            window[...] = alpha_arithmetic.blend(window, layer.rgba)
        return canvas

    def foreground(self, i: int) -> Rgba:
        """[H, W, 4]: one layer complete on the whole canvas; zero outside its box."""
        height, width = self.size
        canvas = np.zeros((height, width, 4), np.uint8)
        left, top, right, bottom = self.layers[i].box
        canvas[top:bottom, left:right] = self.layers[i].rgba
        return canvas

    def light(self, i: int) -> Gray:
        """[h, w] of layer i's box: how much of its light the layers above it let through; 255 = all."""
        left, top, right, bottom = self.layers[i].box
        light = np.full((bottom - top, right - left), 255, np.uint8)
        for above in self.layers[i + 1 :]:
            x0, y0 = max(left, above.box[0]), max(top, above.box[1])
            x1, y1 = min(right, above.box[2]), min(bottom, above.box[3])
            if x0 < x1 and y0 < y1:
                alpha = above.rgba[y0 - above.box[1] : y1 - above.box[1], x0 - above.box[0] : x1 - above.box[0], 3]
                window = light[y0 - top : y1 - top, x0 - left : x1 - left]
                window[...] = alpha_arithmetic.transmittance(window, alpha)
        return light

    def visible_mask(self, i: int) -> Mask:
        """[H, W]: where layer i shows."""
        left, top, right, bottom = self.layers[i].box
        mask = np.zeros(self.size, bool)
        shows = (self.layers[i].rgba[..., 3] >= VISIBLE_ALPHA) & (self.light(i) >= VISIBLE_TRANSMITTANCE)
        mask[top:bottom, left:right] = shows
        return mask

    def areas(self, i: int) -> tuple[float, float]:
        """(amodal, visible) area of layer i in pixels: summed alpha / 255, and the same seen through the rest."""
        amodal = self.layers[i].rgba[..., 3].astype(np.uint32)
        visible = int((amodal * self.light(i)).sum(dtype=np.int64))
        return round(int(amodal.sum(dtype=np.int64)) / 255, 2), round(visible / 65025, 2)

    def occluded_fraction(self, i: int) -> float:
        """Share of layer i that is hidden, 0..1: `1 - visible area / amodal area`."""
        amodal, visible = self.areas(i)
        return round(1.0 - visible / amodal, 4) if amodal else 1.0


def read_record(key: str, members: Mapping[str, bytes]) -> dict[str, Any]:
    """A scene's json, with a list of one to `MAX_LAYERS` layers."""
    name = f"{key}.json"
    try:
        record = parse_json(_member(key, members, "json"), name)
        canonical_json(record)
    except BadSetup as error:
        raise BadItem("bad_json", str(error)) from error
    except UnicodeEncodeError as error:
        raise BadItem("bad_text", f"{name} holds text that UTF-8 cannot hold") from error
    layers = record.get("layers") if isinstance(record, dict) else None
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise BadItem("bad_json", f"{name} has no list of layers")
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise BadItem("bad_json", f"{name} has {len(layers)} layers, a scene has 1 to {MAX_LAYERS}")
    return dict(record)


def _member(key: str, members: Mapping[str, bytes], suffix: str) -> bytes:
    if suffix not in members:
        raise BadItem("missing_member", f"{key}.{suffix} is not there")
    return members[suffix]


def decoded(key: str, members: Mapping[str, bytes], suffix: str, decode: Callable[[bytes], Part]) -> Part:
    """A member decoded; the detail of a fault names it."""
    try:
        return decode(_member(key, members, suffix))
    except BadItem as fault:
        named = fault.detail.startswith(f"{key}.")
        raise BadItem(fault.reason, fault.detail if named else f"{key}.{suffix}: {fault.detail}") from fault


def _boxed(opacity: Gray, box: Box, key: str) -> Gray:
    if opacity.shape != (box[3] - box[1], box[2] - box[0]):
        raise BadItem("shape_mismatch", f"a shadow of {key} does not have the size of its box {list(box)}")
    return opacity


def _box(key: str, sides: Any, size: tuple[int, int]) -> Box:
    """(left, top, right, bottom) inside a canvas of (height, width)."""
    whole = isinstance(sides, list) and len(sides) == 4 and all(type(side) is int for side in sides)
    if not whole or not (0 <= sides[0] < sides[2] <= size[1] and 0 <= sides[1] < sides[3] <= size[0]):
        raise BadItem("bad_json", f"{key}.json: a box does not lie inside {size[1]}x{size[0]} px")
    left, top, right, bottom = sides
    return left, top, right, bottom


def _window(canvas: Rgb, box: tuple[int, int, int, int]) -> Rgb:
    left, top, right, bottom = box
    return canvas[top:bottom, left:right]


def pixels_sha256(rgb: Rgb) -> str:
    """Hash of a picture's size and pixels, to check whether two machines derive the same composite."""
    return hashlib.sha256(f"{rgb.shape}".encode() + rgb.tobytes()).hexdigest()


def mask_iou(a: Mask, b: Mask) -> float:
    """Intersection over union of two masks; two empty ones agree fully."""
    union = np.count_nonzero(a | b)
    return round(np.count_nonzero(a & b) / union, 4) if union else 1.0


def area_ratio(mask: Mask, visible: Mask) -> float:
    """Area of a mask / area where its target shows, the latter of at least one pixel."""
    return round(int(mask.sum()) / max(1, int(visible.sum())), 4)
