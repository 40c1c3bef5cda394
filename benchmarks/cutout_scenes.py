"""Scenes of known alpha at a photograph's size, for trials of what happens between a model's size and that one.

A cutout lies on a photograph whose longer side is 1024 px; in every other scene another cutout covers a part of it.
Cutouts and photographs are halved: constants are chosen on one half, figures are of the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from decoupage.faults import BadSetup
from decoupage.images.alpha import alpha_box, bleed, blend
from decoupage.images.alpha import resize_rgba as resize_cutout
from decoupage.images.sizes import Geometry, resample, resize_picture, working_geometry
from decoupage.images.types import Mask, Rgb, Rgba
from decoupage.randomness import generator

SCENE_PX, LEAST_STAMP_PX = 1024, 300
NAMED = ("tiger", "elephant", "car_a", "car_b", "person", "dog", "corgi", "glass_bottle")
MULTIPLE_PX = 16
Half = Literal["choose", "report"]


@dataclass(frozen=True)
class CutoutScene:
    """A scene and its truth; pictures [H, W, channels] uint8.

    Attributes:
        cutout, photograph: names.
        layer: the whole object on the scene's canvas; background: the scene without it, and without what covers it.
        shows: [H, W], where the object is what the composite shows.
    """

    cutout: str
    photograph: str
    composite: Rgb
    layer: Rgba
    background: Rgb
    shows: Mask


def read_scenes(data: Path, half: Half, per_cutout: int, every: int = 1) -> Iterator[CutoutScene]:
    """The scenes of one half, `per_cutout` of each cutout on different photographs.

    Args:
        data: folder with `cutouts/`, `photos/` and `training/cutouts_photo/`.
        every: of the photographic stamps only every so many.

    Raises:
        BadSetup: a folder is not there, or holds nothing.
    """
    stamps = [path for path in _files(data / "training/cutouts_photo") if max(_size(path)) >= LEAST_STAMP_PX][::every]
    cutouts = [data / "cutouts" / f"{name}.png" for name in NAMED] + stamps
    photographs = [path for path in _files(data / "photos") if path.suffix in (".jpg", ".png")]
    start = 0 if half == "choose" else 1
    cutouts, photographs = cutouts[start::2], photographs[start::2]
    for path in cutouts:
        rng = generator(0, "cutout-scenes", path.name)
        for number, i in enumerate(rng.choice(len(photographs), per_cutout, replace=False)):
            other = cutouts[int(rng.integers(len(cutouts)))] if number % 2 else None
            yield _scene(path, photographs[int(i)], other, rng)


def seen_alpha(
    scene: CutoutScene, size_px: int, blur_px: float, moved_px: float
) -> tuple[Geometry, NDArray[np.float32]]:
    """How a model of this size sees the scene, and the true alpha there [h, w], made as wrong as a network's.

    Args:
        blur_px: standard deviation, in pixels of the model.
        moved_px: standard deviation of a smooth displacement, in pixels of the model.
    """
    geometry = working_geometry(scene.shows.shape, MULTIPLE_PX, size_px)  # type: ignore[arg-type]
    size = geometry.content_px
    alpha = resample(scene.layer[..., 3].astype(np.float32) / np.float32(255), size, cv2.INTER_CUBIC)
    if blur_px:
        alpha = cv2.GaussianBlur(alpha, (0, 0), blur_px)
    if moved_px:
        rng = generator(0, "displacement", f"{scene.cutout}/{scene.photograph}")
        noise = (cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), 4) for _ in range(2))
        rows, columns = (at + moved_px * by / by.std() for at, by in zip(np.indices(size), noise, strict=True))
        to = columns.astype(np.float32), rows.astype(np.float32)
        alpha = cv2.remap(alpha, *to, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return geometry, alpha


def _files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if not files:
        raise BadSetup(
            f"{folder} is not there or is empty: name a folder of pictures with cutouts/, photos/ and training/"
        )
    return files


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _scene(path: Path, photograph: Path, other: Path | None, rng: np.random.Generator) -> CutoutScene:
    with Image.open(photograph) as image:
        picture = np.asarray(image.convert("RGB"))
    scale = SCENE_PX / max(picture.shape[:2])
    size = round(picture.shape[0] * scale), round(picture.shape[1] * scale)
    background = resize_picture(picture, size)
    cutout = _cutout(path, rng.uniform(0.4, 0.75) * min(size))
    top, left = (int(rng.integers(0, size[i] - cutout.shape[i] + 1)) for i in (0, 1))
    layer = _on_canvas(cutout, size, top, left)
    composite, shows = blend(background, layer), layer[..., 3] > 127
    if other is not None:
        cover = _cutout(other, 0.5 * min(cutout.shape[:2]))
        top, left = (
            min(start + int(rng.integers(0, cutout.shape[i] - cover.shape[i] // 2)), size[i] - cover.shape[i])
            for i, start in enumerate((top, left))
        )
        above = _on_canvas(cover, size, top, left)
        composite, shows = blend(composite, above), shows & (above[..., 3] <= 127)
    return CutoutScene(path.stem, photograph.stem, composite, layer, background, shows)


def _cutout(path: Path, longest_px: float) -> Rgba:
    """A cutout, cropped to its alpha's box, at a size."""
    with Image.open(path) as image:
        rgba = np.asarray(image.convert("RGBA"))
    left, top, right, bottom = alpha_box(rgba[..., 3])
    rgba = bleed(rgba[top:bottom, left:right])
    scale = longest_px / max(rgba.shape[:2])
    return resize_cutout(rgba, max(1, round(rgba.shape[1] * scale)), max(1, round(rgba.shape[0] * scale)))


def _on_canvas(cutout: Rgba, size: tuple[int, int], top: int, left: int) -> Rgba:
    canvas = np.zeros((*size, 4), np.uint8)
    canvas[top : top + cutout.shape[0], left : left + cutout.shape[1]] = cutout
    return canvas
