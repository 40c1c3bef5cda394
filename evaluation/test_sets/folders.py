"""Any folder of pictures by role: image, mask, background, and a foreground where there is one."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_rgb
from decoupage.images.reading import open_image
from decoupage.images.types import Gray, Mask, Rgb, Rgba
from evaluation.cases import Case
from evaluation.config.test_sets import LayoutConfig
from evaluation.test_sets.layouts import matches
from evaluation.test_sets.originals import Excluded, printable
from pipelines.scenes.parts import VISIBLE_ALPHA

NEEDED = ("image", "mask", "background")


@dataclass(frozen=True)
class FolderPictures:
    """See `Originals`.

    Attributes:
        folder: what the layout's patterns are below of.
        source: the stratum of its images.
    """

    name: str
    folder: Path
    layout: LayoutConfig
    source: str

    @property
    def about(self) -> dict[str, Any]:
        """See `Originals`; of the folder only its name, for paths are nobody's business."""
        layout = self.layout.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return {"folder": self.folder.name, "layout": ", ".join(f"{role} {value}" for role, value in layout.items())}

    def read(self, names: Collection[str] | None = None) -> Iterator[Case | Excluded]:
        """See `Originals`; an image whose mask or background is missing is excluded, and so is one without an image.

        Raises:
            BadSetup: there is no such folder, or no picture fits the layout.
        """
        files = self._files
        for name in sorted({name for role in ("visible", *NEEDED) for name in files.get(role, ())}):
            if names is None or name in names:
                try:
                    yield self._original(name)
                except BadItem as fault:
                    yield Excluded(name if printable(name) else ascii(name)[:80], fault.reason, fault.detail)

    @cached_property
    def _files(self) -> Mapping[str, dict[str, list[Path]]]:
        """Role -> name -> pictures, for the roles that the layout has."""
        if not self.folder.is_dir():
            raise BadSetup(f"evaluation.test_sets: there is no folder {self.folder} for {self.name}")
        patterns = {role: getattr(self.layout, role) for role in (*NEEDED, "visible", "foreground")}
        files = {role: matches(self.folder, pattern) for role, pattern in patterns.items() if pattern}
        for role in NEEDED:
            if not files[role]:
                raise BadSetup(
                    f"evaluation.test_sets: {self.folder} holds no {role} ({patterns[role]}) for {self.name}; "
                    "choose another layout, or describe its own under evaluation.test_sets.layouts"
                )
        return files

    def _original(self, name: str) -> Case:
        if not printable(name):
            raise BadItem("bad_name", f"{name!r} cannot name an image")
        image, background = (decode_rgb(self._read(role, name)) for role in ("image", "background"))
        size = (image.shape[0], image.shape[1])
        _check_size("background", background, size)
        mask = self._mask("mask", name, size)
        visible = self._mask("visible", name, size) if self.layout.visible else mask
        _check_agrees(image, background, visible)
        foreground = self._foreground(name, size)
        match = re.search(self.layout.scene, name) if self.layout.scene else None
        key = match[1] if match and match[1] else name
        return Case(
            name=name,
            key=key,
            photograph=key,
            origin=name,
            composite=image,
            mask=mask,
            visible=visible,
            background=background,
            foreground=foreground,
            maps=None,
            occluded_fraction=None if foreground is None else _occluded(foreground[..., 3], visible),
            strata={"source": self.source},
        )

    def _read(self, role: str, name: str) -> bytes:
        pattern = getattr(self.layout, role)
        found = self._files[role].get(name, [])
        if not found:
            raise BadItem(f"missing_{role}", f"no {pattern.replace('*', name)}")
        if len(found) > 1:
            raise BadItem("ambiguous", f"{pattern}: {' and '.join(path.name for path in found)}")
        try:
            return found[0].read_bytes()
        except OSError as error:
            raise BadItem("unreadable", f"{role}: {error.strerror}") from error

    def _mask(self, role: str, name: str, size: tuple[int, int]) -> Mask:
        gray = np.asarray(open_image(self._read(role, name)).convert("L"))
        _check_size(role, gray, size)
        mask = (gray > 127) == (self.layout.mask_is == "white")
        if not mask.any() or mask.all():
            raise BadItem(
                "empty_mask" if not mask.any() else "full_mask",
                f"the {role}'s gray levels go from {gray.min()} to {gray.max()}; the object is {self.layout.mask_is}",
            )
        return mask

    def _foreground(self, name: str, size: tuple[int, int]) -> Rgba | None:
        if name not in self._files.get("foreground", ()):
            return None
        picture = open_image(self._read("foreground", name))
        if not picture.has_transparency_data:
            raise BadItem("no_alpha", "the foreground has no alpha channel")
        foreground = np.asarray(picture.convert("RGBA"))
        _check_size("foreground", foreground, size)
        if not (foreground[..., 3] >= VISIBLE_ALPHA).any():
            raise BadItem("empty_alpha", "the foreground shows nowhere")
        return foreground


def _check_size(role: str, picture: Rgb | Rgba | Gray, size: tuple[int, int]) -> None:
    height, width = picture.shape[:2]
    if (height, width) != size:
        raise BadItem("shape_mismatch", f"the {role} is {width}x{height}, the image {size[1]}x{size[0]}")


def _check_agrees(image: Rgb, background: Rgb, visible: Mask) -> None:
    """An image and its background differ most where the object is; else the pair or the mask is of something else."""
    difference = np.maximum(image, background) - np.minimum(image, background)
    inside, outside = float(difference[visible].mean()), float(difference[~visible].mean())
    if inside <= outside:
        raise BadItem(
            "mask_disagrees",
            f"image and background differ by {inside:.1f} gray levels where the object shows and by {outside:.1f} "
            "elsewhere: another background, another mask, or mask_is is the wrong way round",
        )


def _occluded(alpha: Gray, visible: Mask) -> float:
    there = alpha >= VISIBLE_ALPHA
    return round(1.0 - float((there & visible).sum() / there.sum()), 4)
