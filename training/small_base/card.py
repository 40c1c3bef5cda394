"""The small base's model card and its figures on held-out photographs, against classical inpainting."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from decoupage.bases.small import SmallFill
from decoupage.starts import smooth_filling
from training.licences import Licences
from training.sample_grids import levels
from training.small_base.config import SmallBaseConfig
from training.small_base.photographs import Photograph

FIGURES = "figures.json"
CARD = "README.md"
_RADIUS_PX = 3


@dataclass(frozen=True)
class Judged:
    """Held-out crops and what the base makes of them.

    Attributes:
        pictures_BHWC: uint8, the truth.
        hole_BHW: bool, what was to be generated.
        filled_BHWC: uint8, by the base in one step.
        decoded_BHWC: uint8, the truth after the VAE's encoder and decoder.
    """

    pictures_BHWC: NDArray[np.uint8]
    hole_BHW: NDArray[np.bool_]
    filled_BHWC: NDArray[np.uint8]
    decoded_BHWC: NDArray[np.uint8]


@dataclass(frozen=True)
class Origin:
    """How a base was made: its run's config, identity and licences, the photographs that it has seen and has not."""

    config: SmallBaseConfig
    identity: Mapping[str, str]
    licences: Licences
    trained: Sequence[Photograph]
    held_out: Sequence[Photograph]


def measure(judged: Judged) -> dict[str, Any]:
    """Mean PSNR (dB) inside exact holes: the base in one step, fillings without a model; and of the VAE alone."""
    pictures, holes = judged.pictures_BHWC, judged.hole_BHW
    filled = {
        "small_fill": judged.filled_BHWC,
        "smooth": _smooth(pictures, holes),
        "telea": _classical(pictures, holes, cv2.INPAINT_TELEA),
        "navier_stokes": _classical(pictures, holes, cv2.INPAINT_NS),
    }
    whole = np.ones_like(holes)
    return {
        "num_crops": len(pictures),
        "psnr_mask": {name: round(_mean_psnr(found, pictures, holes), 2) for name, found in filled.items()},
        "codec_psnr_whole": round(_mean_psnr(judged.decoded_BHWC, pictures, whole), 2),
    }


def write_card(folder: Path, judged: Judged, origin: Origin) -> None:
    """`README.md`, `figures.json` and `licences.json` beside the weights."""
    origin.licences.write(folder)
    config = origin.config
    figures = measure(judged)
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    geometry, size_px = config.geometry, config.photographs.size_px
    scores = "\n".join(f"| {name} | {value} |" for name, value in figures["psnr_mask"].items())
    by_licence: dict[str, list[str]] = {}
    for photograph in origin.trained:
        by_licence.setdefault(photograph.licence, []).append(photograph.name)
    seen = "\n".join(f"| {', '.join(names)} | {licence} |" for licence, names in sorted(by_licence.items()))
    kept = ", ".join(photograph.name for photograph in origin.held_out)
    text = f"""---
license: apache-2.0
library_name: diffusers
tags: [inpainting]
---
# {SmallFill.name}

A small inpainting model of FLUX.1-Fill's classes (FluxTransformer2DModel, {geometry.num_double} double and
{geometry.num_single} single blocks, width {geometry.num_heads * geometry.dim_heads}; a VAE with AutoencoderKL's
interface) for {size_px} x {size_px} pixels. It is a stand-in for the published base where there is no GPU and no
network: it fills holes with what is likely on average, it knows no text, and it invents no detail.

Made by `decoupage train small_base`, seed {config.seed},
{config.schedule.num_steps} steps of {config.batch.size} crops; recipe {origin.identity["recipe"]},
photographs {origin.identity["photographs"]}.

PSNR in dB inside exact holes, {figures["num_crops"]} crops of held-out photographs,
one step from a smooth filling:

| method | psnr_mask |
|---|---|
{scores}

The VAE alone reaches {figures["codec_psnr_whole"]} dB.

| trained on | licence |
|---|---|
{seen}

Held out: {kept}.
"""
    (folder / CARD).write_text(text, encoding="utf-8")


def _smooth(pictures: NDArray[np.uint8], holes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    signed = torch.from_numpy(pictures.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
    return levels(smooth_filling(signed, torch.from_numpy(holes).float()[:, None]))


def _classical(pictures: NDArray[np.uint8], holes: NDArray[np.bool_], method: int) -> NDArray[np.uint8]:
    pairs = zip(pictures, holes, strict=True)
    return np.stack([cv2.inpaint(picture, hole.astype(np.uint8), _RADIUS_PX, method) for picture, hole in pairs])


def _mean_psnr(found: NDArray[np.uint8], truth: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    squared = ((found.astype(np.float64) - truth) / 255.0) ** 2
    errors = [max(float(each[mask].mean()), 1e-10) for each, mask in zip(squared, where, strict=True)]
    return float(np.mean(-10.0 * np.log10(errors)))
