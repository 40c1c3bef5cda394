"""Groups of pictures that belong together, in plain values, with the paths of their files.

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
"""Version of the groups, to be raised when the same data gives other groups."""
COPY_PX = 16
JPEG_QUALITY = 92
"""Quality of pictures that are only shown: the truth stays in the shards."""


@dataclass(frozen=True)
class Box:
    """The box of one object in a picture.

    Attributes:
        label: name of the object.
        box: left, top, width, height as shares of the picture.
        attributes: values that are shown with it, and can be sorted by.
    """

    label: str
    box: tuple[float, float, float, float]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """One slice of a group.

    Attributes:
        slice: name of the slice, e.g. `composite`, `layer0`.
        file: name of the picture in the group's folder.
        fields: values by name, which can be sorted by.
        masks, heatmaps: files of overlays by field, of any size: gray levels are numbers of segments, of which 0 is not
            drawn, and heights of a heatmap.
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
        pictures: its pictures, the composite last, so that a group with a composite is complete.
        copy: small copy of the composite, centred, to compare pictures by; float32 as a list.
    """

    item: str
    version: str
    pictures: tuple[Picture, ...]
    copy: list[float]

    @property
    def folder(self) -> str:
        """Folder of its files, below the media folder."""
        return folder_of(self.item, self.version)


def folder_of(item: str, version: str) -> str:
    """Folder of a group's files; each version has its own, so that no old picture is shown for a new one."""
    # Two levels: a hundred thousand entries in one folder are slow to list.
    return f"{item[:-2]}__/{item.rpartition('/')[2]}-{version}"


def version_of(parts: Iterable[str]) -> str:
    """Version of a group: a short hash of the hashes of its parts and of `FORMAT`."""
    return hashlib.sha256("\n".join([f"format {FORMAT}", *parts]).encode()).hexdigest()[:12]


def write_once(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files of a folder or none; an existing folder is complete and is kept."""
    if folder.is_dir():
        return
    temp = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(parents=True)
    for name, data in files.items():
        (temp / name).write_bytes(data)
    temp.rename(folder)


def small_copy(rgb: Rgb) -> list[float]:
    """A picture as the numbers that it is compared by: 16 by 16 px, less its mean colour."""
    small = cv2.resize(rgb, (COPY_PX, COPY_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return (small - small.mean(axis=(0, 1))).round(3).ravel().tolist()


def depth_png(depth: NDArray[np.float32]) -> bytes:
    """Inverse depth [H, W], 0..1, as a file that FiftyOne reads as a heatmap, which has 8 bits."""
    return encode_gray((depth * 255 + 0.5).astype(np.uint8))
