"""What FiftyOne is given, in plain values: a group of pictures that belong together, and where their files go.

Made in worker processes, which need no FiftyOne; `samples.py` turns groups into samples.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.codecs import encode_gray
from decoupage.images.types import Rgb

COMPOSITE, BACKGROUND = "composite", "background"
TRAIN, HELD_OUT = "train", "held_out"
FORMAT = 1
"""Raised when groups of the same data look otherwise."""
COPY_PX = 16
JPEG_QUALITY = 92
"""Of what is shown and not stored as a picture: the truth stays in the shards."""


@dataclass(frozen=True)
class Box:
    """One object of a picture.

    Attributes:
        box: left, top, width, height as shares of the picture.
        attributes: shown with it, and sortable.
    """

    label: str
    box: tuple[float, float, float, float]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """One slice of a group.

    Attributes:
        slice: its name, e.g. `composite`, `layer0`.
        file: the picture's name in the group's folder.
        fields: sortable values by name.
        masks, heatmaps: files of overlays by field, of any size.
        boxes: objects by field.
    """

    slice: str
    file: str
    fields: Mapping[str, Any]
    masks: Mapping[str, str] = field(default_factory=dict)
    heatmaps: Mapping[str, str] = field(default_factory=dict)
    boxes: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """A scene of training or a case of evaluation.

    Attributes:
        item: `train/<key>` or `held_out/<case>`, unique.
        version: hash of all that it is made from; another version is another group.
        folder: of its files, below the media folder.
        pictures: the composite last, so that a group with a composite is whole.
        copy: small composite, centred, for likeness; float32 as a list.
    """

    item: str
    version: str
    folder: str
    pictures: tuple[Picture, ...]
    copy: list[float]


def folder_of(item: str, version: str) -> str:
    """Where a group's files lie; a name of its own for each version, so that no old picture is shown for a new one."""
    # A folder of folders: a hundred thousand in one are slow to list.
    return f"{item[:-2]}__/{item.rpartition('/')[2]}-{version}"


def version_of(parts: Iterable[str]) -> str:
    """A short hash of hashes, and of how groups are made."""
    return hashlib.sha256("\n".join([f"format {FORMAT}", *parts]).encode()).hexdigest()[:12]


def write_once(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files of a folder or none; a folder that is there is whole and is kept."""
    if folder.is_dir():
        return
    temp = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(parents=True)
    for name, data in files.items():
        (temp / name).write_bytes(data)
    temp.rename(folder)


def small_copy(rgb: Rgb) -> list[float]:
    """A picture as numbers that likeness is told by: 16 by 16 px, less its mean colour."""
    small = cv2.resize(rgb, (COPY_PX, COPY_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return (small - small.mean(axis=(0, 1))).round(3).ravel().tolist()


def labels_png(labels: NDArray[np.uint8]) -> bytes:
    """[H, W] numbers as a file that FiftyOne reads as a segmentation; 0 is shown as nothing."""
    return encode_gray(labels)


def depth_png(depth: NDArray[np.float32]) -> bytes:
    """[H, W] nearness, 0..1, as a file that FiftyOne reads as a heatmap, which has 8 bits."""
    return encode_gray((depth * 255 + 0.5).astype(np.uint8))
