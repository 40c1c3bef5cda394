"""Small sets of pictures by role, on disk, whose truth is known beforehand."""

from pathlib import Path

import numpy as np
from PIL import Image

from decoupage.images.types import Array

SIZE = (48, 80)
"""(height, width) of every picture."""
BOX = (slice(12, 36), slice(20, 50))
"""Rows and columns of the object."""


def scene(seed: int, size: tuple[int, int] = SIZE) -> dict[str, Array]:
    """Role -> picture: a smooth background, and the same with a bright box before it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 160, (6, 8, 3), np.uint8)
    background = np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    image, mask = background.copy(), np.zeros(size, np.uint8)
    image[BOX] = rng.integers(200, 256, (*image[BOX].shape[:2], 3), np.uint8)
    mask[BOX] = 255
    return {"image": image, "mask": mask, "background": background, "foreground": np.dstack([image, mask])}


def write(folder: Path, name: str, pictures: dict[str, Array], suffix: str = ".png") -> None:
    """Each picture into the folder of its role."""
    for role, picture in pictures.items():
        path = folder / role / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)


def write_set(folder: Path, *names: str, roles: tuple[str, ...] = ("image", "mask", "background")) -> Path:
    """A whole set in the layout `plain`; gives the folder."""
    for number, name in enumerate(names):
        write(folder, name, {role: picture for role, picture in scene(number).items() if role in roles})
    return folder
