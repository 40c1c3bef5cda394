"""The invariants of one stored scene: that its parts are whole and that everything said of them is true.

Bytes and hashes are compared in `tarwalk.py`; this looks at what the members mean.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.images.alpha import alpha_box
from decoupage.images.codecs import decode_mask, decode_opacity, decode_rgb
from decoupage.images.reading import open_image, read_picture
from decoupage.images.types import Gray, Rgba
from decoupage.maps.table import MAPS
from decoupage.text_files import parse_json
from pipelines.scenes.parts import Layer, SceneParts, Shadow, area_ratio, mask_iou, pixels_sha256
from pipelines.scenes.record import scene_rows
from pipelines.shards.faults import Finding

T = TypeVar("T")
Box = tuple[int, int, int, int]
MAX_CANVAS_SIDE_PX = 4096


class _Foreground(BaseModel):
    id: str
    source: str
    kind: str
    sha256: str
    licence: str
    attribution: str
    category: str
    prompt: str


class _Background(BaseModel):
    id: str
    source: str
    sha256: str
    rotation_deg_ccw: int
    crop: list[int]
    licence: str
    attribution: str


class _Layer(BaseModel):
    box: Box
    shadow_box: Box | None = None
    amodal_area_px: float
    visible_area_px: float
    occluded_fraction: float
    mask_iou: float | None = None
    mask_area_px: int | None = None
    mask_area_ratio: float | None = None
    foreground: _Foreground


class _Record(BaseModel):
    """What the checks read of a scene's json; other keys are compared with the parquet rows only."""

    key: str
    recipe: str
    difficulty: str
    attempt: int
    size_px: int = Field(ge=1, le=MAX_CANVAS_SIDE_PX)
    composite_sha256: str
    background: _Background
    layers: list[_Layer] = Field(min_length=1, max_length=3)


def check_scene(
    key: str,
    members: Mapping[str, bytes],
    rows: Sequence[dict[str, Any]] | None,
    recipes: Mapping[str, str],
    joined: bool,
) -> Iterator[Finding]:
    """Everything that is wrong with one scene.

    Args:
        members: by suffix.
        rows: its rows of the parquet index; None when the index could not be read.
        recipes: fingerprints that its json must name, under these keys.
        joined: whether masks, edges, segmentation and depth must be there.
    """
    if "json" not in members:
        yield Finding(f"{key}.json", "missing_member", "is not in the tar")
        return
    try:
        record = parse_json(members["json"], "its json")
        canonical_json(record)
        checked = _Record.model_validate(record)
    except (BadSetup, ValueError) as error:  # pydantic's errors are ValueErrors, and those of lone surrogates.
        yield Finding(f"{key}.json", "bad_json", " ".join(str(error).split()))
        return
    yield from _check_names(key, members, checked.layers, joined)
    yield from _check_said(key, record, checked, rows, recipes)
    findings: list[Finding] = []
    parts = _decode(key, members, record, checked, joined, findings)
    yield from findings
    if parts is not None:
        misfits = list(_check_geometry(parts, checked))
        yield from misfits
        if not misfits:
            yield from _check_measures(parts, checked)
    if joined:
        yield from _check_maps(key, members, checked)


def _check_names(key: str, members: Mapping[str, bytes], layers: Sequence[_Layer], joined: bool) -> Iterator[Finding]:
    expected = ["background.jpg", *(f"layer{i}.webp" for i in range(len(layers)))]
    expected += [f"shadow{i}.png" for i, layer in enumerate(layers) if layer.shadow_box]
    expected.append("json")
    if joined:
        expected += [*(f"mask{i}.png" for i in range(len(layers))), *(f"{name}.png" for name in MAPS)]
    for suffix in expected:
        if suffix not in members:
            yield Finding(f"{key}.{suffix}", "missing_member", "is not in the tar")
    for suffix in members:
        if suffix not in expected:
            yield Finding(f"{key}.{suffix}", "unknown_member", "is not part of a scene with these layers")


def _check_said(
    key: str,
    record: dict[str, Any],
    checked: _Record,
    rows: Sequence[dict[str, Any]] | None,
    recipes: Mapping[str, str],
) -> Iterator[Finding]:
    """The json against its name, the manifest and the parquet rows."""
    name = f"{key}.json"
    if checked.key != key:
        yield Finding(name, "wrong_key", f"names the scene {checked.key}")
    for kind, recipe in recipes.items():
        if record.get(kind) != recipe:
            yield Finding(name, "fingerprint", f"names {kind} {record.get(kind)}, the manifest says {recipe}")
    if rows is None:
        return
    if len(rows) != len(checked.layers):
        yield Finding(name, "row_count", f"has {len(checked.layers)} layers, the parquet index has {len(rows)} rows")
        return
    try:
        told = scene_rows(record, rows[0].get("draws", []))
    except (KeyError, TypeError, AttributeError) as error:
        yield Finding(name, "bad_json", f"lacks {error}")
        return
    for row, said in zip(rows, told, strict=True):
        for column in sorted(set(row) | set(said)):
            if row.get(column) != said.get(column):
                yield Finding(
                    name,
                    "row_differs",
                    f"layer {said['layer']}: {column} is {said.get(column)!r}, in parquet {row.get(column)!r}",
                )


def _decode(
    key: str,
    members: Mapping[str, bytes],
    record: dict[str, Any],
    checked: _Record,
    joined: bool,
    findings: list[Finding],
) -> SceneParts | None:
    """The scene as `SceneParts.decode` would give it, naming each member that cannot be decoded."""

    def decode(suffix: str, decoder: Callable[[bytes], T]) -> T | None:
        if suffix not in members:
            return None
        try:
            return decoder(members[suffix])
        except BadItem as fault:
            kind = "box_size" if fault.reason == "shape_mismatch" else fault.reason
            findings.append(Finding(f"{key}.{suffix}", kind, fault.detail))
            return None

    num_layers = len(checked.layers)
    misfit = [f"layer{i}.webp" for i, entry in enumerate(checked.layers) if not _is_inside(entry.box, checked.size_px)]
    misfit += [
        f"shadow{i}.png"
        for i, entry in enumerate(checked.layers)
        if entry.shadow_box and not _is_inside(entry.shadow_box, checked.size_px)
    ]
    if misfit:  # A picture's size is bounded by its box, and that by the canvas, before it is decoded.
        canvas = f"{checked.size_px}x{checked.size_px} px"
        findings += [Finding(f"{key}.{suffix}", "box_outside", f"its box is not inside {canvas}") for suffix in misfit]
        return None
    background = decode("background.jpg", decode_rgb)
    cutouts = [decode(f"layer{i}.webp", _cutout_of(entry.box)) for i, entry in enumerate(checked.layers)]
    masks = [decode(f"mask{i}.png", decode_mask) for i in range(num_layers if joined else 0)]
    boxes = {i: entry.shadow_box for i, entry in enumerate(checked.layers) if entry.shadow_box}
    opacities = {i: decode(f"shadow{i}.png", decode_opacity) for i in boxes}
    if background is None or any(part is None for part in (*cutouts, *masks, *opacities.values())):
        return None
    shadows = {i: Shadow(opacity, boxes[i]) for i, opacity in opacities.items() if opacity is not None}
    layers = (Layer(rgba, checked.layers[i].box, shadows.get(i)) for i, rgba in enumerate(cutouts) if rgba is not None)
    return SceneParts(key, background, tuple(layers), record, tuple(mask for mask in masks if mask is not None))


def _cutout_of(box: Box) -> Callable[[bytes], Rgba]:
    """Decodes the layer of a box; BadItem `shape_mismatch`, before it is decoded, where it has another size."""
    expected = (box[3] - box[1], box[2] - box[0])
    return lambda data: read_picture(data, upright=False, expected=expected).rgba


def _is_inside(box: Box, size_px: int) -> bool:
    left, top, right, bottom = box
    return 0 <= left < right <= size_px and 0 <= top < bottom <= size_px


def _check_geometry(parts: SceneParts, checked: _Record) -> Iterator[Finding]:
    height, width = parts.size
    if (height, width) != (checked.size_px, checked.size_px):
        yield Finding(f"{parts.key}.background.jpg", "size", f"is {width}x{height} px, the json says {checked.size_px}")
    for i, layer in enumerate(parts.layers):
        yield from _check_box(f"{parts.key}.layer{i}.webp", layer.rgba[..., 3], layer.box, parts.size)
        if layer.shadow:
            yield from _check_box(f"{parts.key}.shadow{i}.png", layer.shadow.opacity, layer.shadow.box, parts.size)
    for i, mask in enumerate(parts.imperfect_masks):
        if mask.shape != parts.size:
            detail = f"is {mask.shape[1]}x{mask.shape[0]} px, not {width}x{height}"
            yield Finding(f"{parts.key}.mask{i}.png", "size", detail)


def _check_box(name: str, alpha: Gray, box: Box, size: tuple[int, int]) -> Iterator[Finding]:
    """A layer's or a shadow's opacity against its box, which must be tight and inside a canvas of (height, width)."""
    left, top, right, bottom = box
    height, width = size
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        yield Finding(name, "box_outside", f"box {list(box)} is not inside {width}x{height} px")
    elif alpha.shape != (bottom - top, right - left):
        shape = f"{alpha.shape[1]}x{alpha.shape[0]}"
        yield Finding(name, "box_size", f"is {shape} px, its box is {right - left}x{bottom - top}")
    elif not alpha.any():
        yield Finding(name, "empty_alpha", "has no visible pixel")
    elif (tight := alpha_box(alpha)) != (0, 0, right - left, bottom - top):
        yield Finding(name, "box_loose", f"its alpha fills only {list(tight)} of its box")


def _check_measures(parts: SceneParts, checked: _Record) -> Iterator[Finding]:
    """The composite, the areas and the masks against what the json says of them."""
    if pixels_sha256(parts.composite) != checked.composite_sha256:
        yield Finding(f"{parts.key}.json", "composite", "the parts do not recompose to composite_sha256")
    for i, entry in enumerate(checked.layers):
        amodal, visible = parts.areas(i)
        measured: dict[str, tuple[str, float, float | None]] = {
            "amodal_area_px": ("json", amodal, entry.amodal_area_px),
            "visible_area_px": ("json", visible, entry.visible_area_px),
            "occluded_fraction": ("json", parts.occluded_fraction(i), entry.occluded_fraction),
        }
        if parts.imperfect_masks:
            mask, name = parts.imperfect_masks[i], f"mask{i}.png"
            shows = parts.visible_mask(i)
            measured["mask_area_px"] = (name, int(mask.sum()), entry.mask_area_px)
            measured["mask_iou"] = (name, mask_iou(mask, shows), entry.mask_iou)
            measured["mask_area_ratio"] = (name, area_ratio(mask, shows), entry.mask_area_ratio)
            if not mask.any():
                yield Finding(f"{parts.key}.{name}", "empty_mask", "has no pixel")
        for what, (suffix, found, said) in measured.items():
            if found != said:
                yield Finding(f"{parts.key}.{suffix}", what, f"layer {i}: is {found}, the json says {said}")


def _check_maps(key: str, members: Mapping[str, bytes], checked: _Record) -> Iterator[Finding]:
    for name, row in MAPS.items():
        data = members.get(f"{name}.png")
        if data is None:
            continue
        try:
            image = open_image(data)
        except BadItem as fault:
            yield Finding(f"{key}.{name}.png", fault.reason, fault.detail)
            continue
        if image.mode != row.mode:
            yield Finding(f"{key}.{name}.png", "pixel_type", f"has pixels of type {image.mode}, not {row.mode}")
        if row.full_size and image.size != (checked.size_px, checked.size_px):
            yield Finding(
                f"{key}.{name}.png", "size", f"is {image.width}x{image.height} px, the scene {checked.size_px}"
            )
