"""Writes the photographic cutouts as a MuLAn tree on photographs of COCO's size, and serves the rendered ones."""

import csv
import json
import pickle
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Resampling

from decoupage.fingerprint import Recipe
from decoupage.images.alpha import alpha_box, blend
from decoupage.images.codecs import decode_rgb, encode_jpeg
from decoupage.images.types import Rgb, Rgba
from decoupage.randomness import generator
from pipelines.foregrounds.prompts import Prompt
from pipelines.packaged.mulan_tree import inpaint

HERE = Path(__file__).parent
PHOTOGRAPHS = "training/photos"
TO_SHOW = "photos/gb82"
"""Photographs under CC0."""
STAMPS = ("training/cutouts_photo", "cutouts")
RENDERED = "training/cutouts_rendered"
CANVASES = ("photos/kodak", "photos/gb82", "photos")
NO_STAMPS = ("corgi", "dog", "glass_bottle", "pad_in", "pad_expected")
"""Cutouts that LayerDiffuse made, and a test pair: not cut out of photographs."""
CANVAS_PX = (640, 480)
"""COCO's usual size."""
OVER_BORDER_SHARE, SLOPPY_SHARE = 0.2, 0.15
"""Shares of instances that the photograph cuts: with an outline up to the border, and with one that stops short."""
SLOPPY_PX = (3, 9)
TURNS = 50
"""Tries to find a place without another instance."""
LAYERDIFFUSE_PX, RENDERED_PX = 1024, 768
"""Side of LayerDiffuse's canvas, and of the rendered object that is enlarged onto it."""


def write_tree(data: Path, out: Path, seed: int = 0) -> int:
    """Write `annotations/` and `images/train2017/` below `out`; returns the number of instances.

    One to three stamps lie on each photograph at their native size, or reduced to fit it.
    """
    stamps = [path for folder in STAMPS for path in sorted((data / folder).iterdir()) if path.stem not in NO_STAMPS]
    canvases = [path for folder in CANVASES for path in sorted((data / folder).iterdir()) if path.is_file()]
    (out / "annotations").mkdir(parents=True, exist_ok=True)
    (out / "images/train2017").mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = {}
    rng = generator(seed, "real-material", "tree")
    order = [int(index) for index in rng.permutation(len(stamps))]
    number = 0
    while order:
        taken, number = [stamps[order.pop()] for _ in range(min(len(order), int(rng.integers(1, 4))))], number + 1
        canvas = _canvas(canvases[number % len(canvases)])
        captions = [_caption(path) for path in taken]
        jpeg, annotation = _annotate(canvas, [_read(path) for path in taken], captions, rng)
        id = f"{number:012d}"
        (out / "images/train2017" / f"{id}.jpg").write_bytes(jpeg)
        (out / "annotations" / f"{id}.p.zl").write_bytes(zlib.compress(pickle.dumps(annotation, 4), 6))
        known[id] = {
            "name": f"trial-{id}",
            "licence": "gpl-2.0",
            "attribution": ", ".join(path.name for path in taken),
            "categories": [""] * len(taken),  # MuLAn has none.
        }
    (out / "annotations/photographs.json").write_text(json.dumps(known, indent=1))
    return len(stamps)


def _canvas(path: Path) -> Rgb:
    with Image.open(path) as image:
        upright = image.width < image.height
        size = CANVAS_PX[::-1] if upright else CANVAS_PX
        return np.asarray(ImageOps.fit(image.convert("RGB"), size, Resampling.LANCZOS))


def _read(path: Path) -> Rgba:
    """The cutout, cropped to its alpha box, no larger than nine tenths of a photograph."""
    with Image.open(path) as image:
        rgba = np.asarray(image.convert("RGBA"))
    left, top, right, bottom = alpha_box(rgba[..., 3])
    whole = Image.fromarray(rgba[top:bottom, left:right])
    whole.thumbnail((int(0.9 * CANVAS_PX[0]), int(0.9 * CANVAS_PX[1])), Resampling.LANCZOS)
    return np.asarray(whole)


def _caption(path: Path) -> str:
    """As a captioner would describe it: by `captions.csv`, else `animals__birds__penguin3.webp` -> `a penguin`."""
    name = " ".join(re.sub(r"[^A-Za-z]+", " ", path.stem.split("__")[-1]).lower().split())
    return _table("captions.csv", "name").get(name, {"caption": f"a {name}"})["caption"]


def _annotate(
    canvas: Rgb, stamps: Sequence[Rgba], captions: Sequence[str], rng: np.random.Generator
) -> tuple[bytes, dict[str, Any]]:
    """The photograph with the stamps on it, as JPEG, and its annotation with MuLAn's keys."""
    picture, placed = canvas, []
    for stamp in stamps:
        whole = _place(stamp, picture.shape[:2], placed, rng)
        picture = np.asarray(blend(picture, whole))
        placed.append(whole)
    jpeg = encode_jpeg(picture, 95)
    instances = {k: _instance(k - 1, placed, caption) for k, caption in enumerate(captions, start=1)}
    covered = np.any([whole[..., 3] > 0 for whole in placed], axis=0)
    caption = " and ".join(captions)
    filled = np.where(covered[..., None], inpaint(decode_rgb(jpeg), covered), 0)
    background = {
        "llava": caption,
        "blip2": caption,
        "original_image_mask": ~covered[..., None],
        "inpainted_delta": filled.astype(np.int16),
    }
    captioning = {"llava": "none", "blip2": "none", "clip": "none"}
    image = {"llava": caption, "blip2": caption}
    return jpeg, {"captioning": captioning, "background": background, "image": image, "instances": instances}


def _instance(i: int, placed: Sequence[Rgba], caption: str) -> dict[str, Any]:
    """One instance; what later ones hide of it is given by its delta, as MuLAn's inpainting gives it."""
    alpha = placed[i][..., 3]
    hidden = np.any([whole[..., 3] > 0 for whole in placed[i + 1 :]] or [np.zeros_like(alpha, bool)], axis=0)
    return {
        "blip2": caption,
        "original_image_mask": ~hidden[..., None],
        "instance_mask": (alpha > 0)[..., None],
        "inpainted_delta": np.where((hidden & (alpha > 0))[..., None], placed[i][..., :3], 0).astype(np.int16),
        "instance_alpha": Image.fromarray(alpha),
    }


def _place(stamp: Rgba, size: tuple[int, ...], others: Sequence[Rgba], rng: np.random.Generator) -> Rgba:
    """The stamp on an empty photograph [H, W, 4], away from the others where there is room."""
    height, width = size
    drawn = rng.random()
    for _ in range(TURNS):
        top = int(rng.integers(0, max(1, height - stamp.shape[0] + 1)))
        left = int(rng.integers(0, max(1, width - stamp.shape[1] + 1)))
        sloppy_px = 0
        if drawn < OVER_BORDER_SHARE + SLOPPY_SHARE:
            sloppy_px = int(rng.integers(*SLOPPY_PX)) if drawn >= OVER_BORDER_SHARE else 0
            top = height - round(stamp.shape[0] * rng.uniform(0.6, 0.9))
        whole = np.zeros((height, width, 4), np.uint8)
        bottom, right = min(top + stamp.shape[0], height), min(left + stamp.shape[1], width)
        whole[top:bottom, left:right] = stamp[: bottom - top, : right - left]
        whole[height - sloppy_px :, :, 3] = 0
        if not any(((whole[..., 3] > 0) & (other[..., 3] > 0)).any() for other in others):
            break
    return whole


@dataclass(frozen=True)
class Rendered:
    """A generator of foregrounds that looks its picture up: rendered objects instead of LayerDiffuse's."""

    folder: Path
    name: str = "rendered"
    licence: str = "mit"
    attribution: str = "Fluent emoji 3D, enlarged threefold"

    @property
    def recipe(self) -> Recipe:
        """Name and size."""
        return {"name": self.name, "size_px": RENDERED_PX}

    def prompts(self) -> list[Prompt]:
        """A prompt for each object of `rendered.csv`."""
        return [Prompt(row["category"], row["prompt"]) for row in _table("rendered.csv", "prompt").values()]

    def generate(self, prompt: Prompt, seed: int) -> Rgba:
        """The object in the middle of LayerDiffuse's canvas, [1024, 1024, 4]."""
        code = _table("rendered.csv", "prompt")[prompt.text]["code"]
        path = next(
            path for path in (self.folder / f"{code}.webp", self.folder / f"{code}-fe0f.webp") if path.is_file()
        )
        with Image.open(path) as image:
            rgba = image.convert("RGBa").resize((RENDERED_PX, RENDERED_PX), Resampling.LANCZOS).convert("RGBA")
        canvas = np.zeros((LAYERDIFFUSE_PX, LAYERDIFFUSE_PX, 4), np.uint8)
        margin = (LAYERDIFFUSE_PX - RENDERED_PX) // 2
        canvas[margin:-margin, margin:-margin] = np.asarray(rgba)
        return canvas


def _table(file: str, key: str) -> dict[str, dict[str, str]]:
    with (HERE / file).open(newline="", encoding="utf-8") as rows:
        return {row[key]: row for row in csv.DictReader(rows)}
