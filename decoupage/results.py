"""The folder of one decomposed picture: layers as PNG, layered files on wish, and `layers.json`, which tells all.

Every file appears whole or not at all, and `layers.json` last: where it is, the others are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from decoupage.images.blending import alpha_box
from decoupage.layered import BACKGROUND, write_ora, write_psd, write_whole

REPORT = "layers.json"


@dataclass(frozen=True)
class Layers:
    """A decomposed picture: PIL RGBA `foregrounds`, front to back, over the PIL RGB `background`."""

    background: Image.Image
    foregrounds: Sequence[Image.Image]
    names: Sequence[str]
    recomposition: Image.Image


def write_layers(out: Path, layers: Layers, *, psd: bool, ora: bool) -> dict[str, Any]:
    """Write background.png, foreground.png, recomposition.png and on wish layers.psd and layers.ora into a folder.

    Several foregrounds become foreground-1.png, foreground-2.png, ..., front to back; foreground.png then shows all
    of them, flattened.

    Returns:
        The part of `layers.json` that says what is where: `size_px` [width, height]; `layers` front to back, the
        background last, each with `name`, `file` and `box_px` [left, top, right, bottom] of what is visible in it
        (null: nothing is); the names of the other `files`.
    """
    _write_png(out / "background.png", layers.background)
    _write_png(out / "recomposition.png", layers.recomposition)
    _write_png(out / "foreground.png", flattened(layers.foregrounds))
    files = ["foreground.png"]
    if len(layers.foregrounds) > 1:
        files = [f"foreground-{number}.png" for number in range(1, len(layers.foregrounds) + 1)]
        for file, picture in zip(files, layers.foregrounds, strict=True):
            _write_png(out / file, picture)
    others = {"foreground": "foreground.png", "recomposition": "recomposition.png"}
    for wanted, kind, write in ((psd, "psd", write_psd), (ora, "ora", write_ora)):
        if wanted:
            others[kind] = f"layers.{kind}"
            write(out / others[kind], layers.background, layers.foregrounds, layers.names)
    width, height = layers.background.size
    entries: list[dict[str, Any]] = [
        {"name": name, "file": file, "box_px": alpha_box(np.asarray(picture))}
        for name, file, picture in zip(layers.names, files, layers.foregrounds, strict=True)
    ]
    entries.append({"name": BACKGROUND, "file": "background.png", "box_px": (0, 0, width, height)})
    return {"size_px": [width, height], "layers": entries, "files": others}


def write_report(out: Path, report: Mapping[str, Any]) -> None:
    """Write `layers.json`; call it when all else is written."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(out / REPORT, lambda file: file.write(text.encode()))


def flattened(foregrounds: Sequence[Image.Image]) -> Image.Image:
    """All foregrounds (RGBA, front to back) in one RGBA picture; straight alpha, within one level of rounding."""
    merged = foregrounds[-1]
    for picture in reversed(foregrounds[:-1]):
        merged = Image.alpha_composite(merged, picture)
    return merged


def layer_names(masks: Sequence[Path]) -> list[str]:
    """Layers are named for their masks' files; a name that comes again gets the next free number."""
    names: list[str] = []
    for path in masks:
        # Layered files take no control characters, nor bytes of a file name that are no text.
        stem = "".join(letter if letter.isprintable() else "_" for letter in path.stem)
        name, number = stem, 1
        while name in (*names, BACKGROUND):
            number += 1
            name = f"{stem}-{number}"
        names.append(name)
    return names


def _write_png(path: Path, picture: Image.Image) -> None:
    write_whole(path, lambda file: picture.save(file, "PNG", compress_level=3))
