"""What SegFormer and Depth-Anything would say of the trial's photographs, drawn by hand (`labels.json`).

`labels.json`: name of a photograph -> the class that fills it, polygons of other classes painted over it in order
(points are shares of width and height; a third value is the row at which the thing meets the ground), and the row of
its horizon; null where the camera looks down, up or at something near. Inverse depth is that of a level plane below
the horizon, shifted for what stands on it so that it fits at its foot.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.fingerprint import Recipe, fingerprint
from decoupage.images.codecs import decode_rgb
from decoupage.images.types import Gray, Rgb

HERE = Path(__file__).parent
_SIZE_PX = 256
"""Side of the drawn labels, which are square: sources of layouts may answer at any size."""
_THUMB_PX = 16
"""Side of the picture that a photograph is recognised by."""


@dataclass(frozen=True)
class HandLabels:
    """A labeller for the filter on things, and a source of layouts, that recognises the photographs of a folder."""

    folder: Path
    batch_size: int = 8
    in_process: bool = True

    @property
    def recipe(self) -> Recipe:
        """Hash of the drawings."""
        return {"labels": "drawn by hand", "sha256": fingerprint(_drawings())}

    @property
    def id2label(self) -> Mapping[int, str]:
        """Classes that occur, by label."""
        names = {name for drawing in _drawings().values() for name in (drawing["base"], *_classes(drawing))}
        return dict(enumerate(sorted(names)))

    def inputs(self) -> dict[str, str]:
        """It reads no files of its own."""
        return {}

    def labels(self, pictures_HWC: Sequence[Rgb]) -> list[Gray]:
        """Labels of each picture, [256, 256]."""
        return [labels for labels, _ in self.see(pictures_HWC)]

    def see(self, pictures_HWC: Sequence[Rgb]) -> list[tuple[Gray, NDArray[np.float32] | None]]:
        """Labels and inverse depth of each picture, both [256, 256]."""
        return [self._draw(_drawings()[self._name(picture)]) for picture in pictures_HWC]

    def _draw(self, drawing: dict[str, Any]) -> tuple[Gray, NDArray[np.float32]]:
        label_of = {name: label for label, name in self.id2label.items()}
        labels = np.full((_SIZE_PX, _SIZE_PX), label_of[drawing["base"]], np.uint8)
        foot = np.zeros(labels.shape, np.float32)
        for name, points, *feet in drawing["shapes"]:
            polygon = np.rint(np.array(points) * _SIZE_PX).astype(np.int32)
            cv2.fillPoly(labels, [polygon], label_of[name])
            cv2.fillPoly(foot, [polygon], sum(feet) - max(y for _, y in points) if feet else 0.0)
        if drawing["horizon"] is None:
            return labels, np.full(labels.shape, 0.5, np.float32)
        rows = (np.arange(_SIZE_PX, dtype=np.float32) + 0.5) / _SIZE_PX
        depth = np.clip((rows[:, None] + foot - drawing["horizon"]) / (1 - drawing["horizon"]), 0, 1)
        return labels, np.where(labels == label_of.get("sky", 255), 0, depth).astype(np.float32)

    def _name(self, picture_HWC: Rgb) -> str:
        thumb = _thumb(picture_HWC)
        return min(self._thumbs, key=lambda name: float(np.abs(self._thumbs[name] - thumb).mean()))

    @cached_property
    def _thumbs(self) -> dict[str, NDArray[np.float32]]:
        return {path.stem: _thumb(decode_rgb(path.read_bytes())) for path in sorted(self.folder.iterdir())}


def _thumb(rgb_HWC: Rgb) -> NDArray[np.float32]:
    small = cv2.resize(np.ascontiguousarray(rgb_HWC), (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _classes(drawing: dict[str, Any]) -> list[str]:
    return [shape[0] for shape in drawing["shapes"]]


def _drawings() -> dict[str, Any]:
    return dict(json.loads((HERE / "labels.json").read_text()))
