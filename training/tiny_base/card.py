"""The tiny base's model card and its figures on held-out photographs, against classical inpainting."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from training.sample_grids import levels

if TYPE_CHECKING:
    from training.tiny_base.task import TinyBaseTask

FIGURES = "figures.json"
CARD = "README.md"
_RADIUS_PX = 3


@torch.no_grad()
def measure(task: "TinyBaseTask") -> dict[str, Any]:
    """Mean PSNR (dB) inside exact holes of held-out photographs: the base in one step, Telea, Navier-Stokes."""
    batch = task.validation
    network = task.modules["network"]
    pictures = levels(batch.picture_B3HW)
    holes = batch.hole_B1HW[:, 0].numpy() > 0.5
    codec = task.base.decode(task.components["vae"], task.base.encode(task.components["vae"], batch.picture_B3HW))
    filled = {
        "tiny_fill": levels(task.fill(network, batch)),
        "telea": _classical(pictures, holes, cv2.INPAINT_TELEA),
        "navier_stokes": _classical(pictures, holes, cv2.INPAINT_NS),
    }
    whole = np.ones_like(holes)
    return {
        "num_crops": len(pictures),
        "psnr_mask": {name: round(_mean_psnr(found, pictures, holes), 2) for name, found in filled.items()},
        "codec_psnr_whole": round(_mean_psnr(levels(codec), pictures, whole), 2),
    }


def write_card(task: "TinyBaseTask", folder: Path) -> None:
    """`README.md` and `figures.json` beside the weights."""
    figures = measure(task)
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    geometry, photographs = task.config.geometry, task.config.photographs
    scores = "\n".join(f"| {name} | {value} |" for name, value in figures["psnr_mask"].items())
    seen = ", ".join(photograph.name for photograph in task.trained)
    kept = ", ".join(photograph.name for photograph in task.held_out)
    size_px, batch_size = photographs.size_px, task.config.batch.size
    text = f"""---
license: apache-2.0
library_name: diffusers
tags: [inpainting]
---
# tiny-fill

A small inpainting model of FLUX.1-Fill's classes (FluxTransformer2DModel, {geometry.num_double} double and
{geometry.num_single} single blocks, width {geometry.num_heads * geometry.dim_heads}; a codec with AutoencoderKL's
interface) for {size_px} x {size_px} pixels. It is a stand-in for the published base where there is no GPU and no
network: it fills holes with what is likely on average, it knows no text, and it invents no detail.

Made by `decoupage train tiny_base`, seed {task.config.seed}, {task.config.schedule.num_steps} steps of {batch_size}
crops; recipe {task.identity["recipe"]}, photographs {task.identity["photographs"]}.

PSNR in dB inside exact holes, {figures["num_crops"]} crops of held-out photographs, one step from noise:

| method | psnr_mask |
|---|---|
{scores}

The codec alone reaches {figures["codec_psnr_whole"]} dB.

Trained on: {seen}.

Held out: {kept}.
"""
    (folder / CARD).write_text(text, encoding="utf-8")


def _classical(pictures: NDArray[np.uint8], holes: NDArray[np.bool_], method: int) -> NDArray[np.uint8]:
    pairs = zip(pictures, holes, strict=True)
    return np.stack([cv2.inpaint(picture, hole.astype(np.uint8), _RADIUS_PX, method) for picture, hole in pairs])


def _mean_psnr(found: NDArray[np.uint8], truth: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    squared = ((found.astype(np.float64) - truth) / 255.0) ** 2
    errors = [max(float(each[mask].mean()), 1e-10) for each, mask in zip(squared, where, strict=True)]
    return float(np.mean(-10.0 * np.log10(errors)))
