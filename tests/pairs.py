"""Before/after pairs for tests: smooth backgrounds with a bright box, its shadow and its mask, as files and shards."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from decoupage.images.types import Array
from decoupage.maps.choose import make_makers
from pipelines.config import LibraryConfig, MapsConfig, PairsConfig, ScenesConfig
from pipelines.pairs.evaluated import Evaluated
from pipelines.pairs.stage import PairsStage
from pipelines.stages.engine import Engine, SerialEngine
from pipelines.stages.run import Report, run_stage
from pipelines.stages.store import Store
from tests.library import write_library

SIZE = (110, 140)
"""(height, width) of the pictures."""
BOX = (slice(30, 64), slice(40, 80))
"""Rows and columns of the object."""
ROLES = {"image": "image", "mask": "mask", "background": "background", "foreground": "foreground"}
MAKERS = make_makers(MapsConfig())
"""Classical ones: no weights."""


def pair(seed: int, size: tuple[int, int] = SIZE) -> dict[str, Array]:
    """Role -> picture. The shadow lies right of the box and is in no mask; both photographs have noise of their own."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 160, (6, 8, 3), np.uint8)
    place = np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)).astype(float)
    mask = np.zeros(size, np.uint8)
    mask[BOX] = 255
    image = place.copy()
    image[BOX[0], BOX[1].stop : BOX[1].stop + 12] *= 0.5
    image[BOX] = rng.integers(200, 250, 3)
    image, background = (
        np.clip(view + rng.normal(0, 1, view.shape), 0, 255).astype(np.uint8) for view in (image, place)
    )
    return {"image": image, "mask": mask, "background": background, "foreground": np.dstack([image, mask])}


def save(folder: Path, name: str, pictures: dict[str, Array], roles: dict[str, str] = ROLES) -> None:
    """Each picture as PNG into the folder of its role."""
    for role, picture in pictures.items():
        path = folder / roles[role] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)


def write_pairs(folder: Path, num: int, with_foreground: tuple[int, ...] = ()) -> Path:
    """`plain`, names p0, p1, ...; gives the folder."""
    for seed in range(num):
        pictures = pair(seed)
        if seed not in with_foreground:
            del pictures["foreground"]
        save(folder, f"p{seed}", pictures)
    return folder


def stage_of(
    root: Path, folder: Path, size_px: int = 64, commercial: bool = False, lists: tuple[str, ...] = (), **config: Any
) -> PairsStage:
    """The stage over a root that has a library."""
    photographs = Store(f"{root}/photographs")
    evaluated = Evaluated(Store(str(root)), photographs, LibraryConfig(evaluation_lists=lists))
    scenes = ScenesConfig(num_scenes=1, scenes_per_shard=1, size_px=size_px)
    pairs = PairsConfig(**{"source": "folder", "folder": str(folder), **config})
    return PairsStage(pairs, scenes, MAKERS, evaluated, commercial)


def build_pairs(root: Path, folder: Path, engine: Engine | None = None, **config: Any) -> Report:
    """Shards of pairs in a root, after a library where it has none."""
    if not (root / "library").exists():
        write_library(str(root))
    return run_stage(stage_of(root, folder, **config), Store(str(root)), engine or SerialEngine())
