"""Any folder of pictures by role: image, mask, background, and a foreground where there is one."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.images.masks import mask_of
from decoupage.images.reading import Picture, open_image, read_file, read_picture, turned_upright
from decoupage.images.types import Gray, Mask, Rgb, Rgba
from evaluation.cases import Case
from evaluation.config.test_sets import LayoutConfig
from evaluation.test_sets.layouts import matches
from evaluation.test_sets.originals import Excluded, names_a_file
from pipelines.scenes.parts import VISIBLE_ALPHA

T = TypeVar("T")
NEEDED = ("image", "mask", "background")


@dataclass(frozen=True)
class FolderPictures:
    """See `Originals`.

    Attributes:
        folder: folder that the layout's patterns are relative to.
        source: the stratum of its images.
    """

    name: str
    folder: Path
    layout: LayoutConfig
    source: str

    @property
    def about(self) -> dict[str, Any]:
        """See `Originals`; of the folder only its name, because paths are private."""
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
                    yield Excluded(name if names_a_file(name) else ascii(name)[:80], fault.reason, fault.detail)

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
                    "choose another layout, or describe its layout under evaluation.test_sets.layouts"
                )
        return files

    def _original(self, name: str) -> Case:
        if not names_a_file(name):
            raise BadItem("bad_name", _why_bad(name))
        picture = self._picture("image", name)
        background = self._picture("background", name)
        _check_size("background", background.size, background.stored_size, picture)
        mask = self._mask("mask", name, picture)
        visible = self._mask("visible", name, picture) if self.layout.visible else mask
        _check_agrees(picture.rgb, background.rgb, visible)
        foreground = self._foreground(name, picture)
        match = re.search(self.layout.scene, name) if self.layout.scene else None
        key = match[1] if match and match[1] else name
        return Case(
            name=name,
            key=key,
            photograph=key,
            origin=name,
            composite=picture.rgb,
            mask=mask,
            visible=visible,
            background=background.rgb,
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
            return read_file(found[0])
        except FileNotFoundError as error:
            raise BadItem(f"missing_{role}", f"{found[0].name} points to no file") from error

    def _picture(self, role: str, name: str) -> Picture:
        """An opaque picture: what lies under transparent pixels is not part of a photograph."""
        picture = _named(role, read_picture, self._read(role, name))
        if not picture.is_opaque:
            raise BadItem("transparent", f"the {role} has transparent pixels: flatten it, or save it without alpha")
        return picture

    def _mask(self, role: str, name: str, picture: Picture) -> Mask:
        stored = _named(role, open_image, self._read(role, name))
        image = turned_upright(stored)
        _check_size(role, (image.height, image.width), (stored.height, stored.width), picture)
        try:
            mask = mask_of(image) == (self.layout.mask_is == "white")
        except ValueError as error:
            raise BadItem("bad_mask", f"the {role}: {error}") from error
        if not mask.any() or mask.all():
            values = np.asarray(image)
            raise BadItem(
                "empty_mask" if not mask.any() else "full_mask",
                f"the {role}'s values ({image.mode}) go from {values.min()} to {values.max()}; the object is "
                f"{self.layout.mask_is}",
            )
        return mask

    def _foreground(self, name: str, picture: Picture) -> Rgba | None:
        if name not in self._files.get("foreground", ()):
            return None
        found = _named("foreground", read_picture, self._read("foreground", name))
        if found.alpha is None:
            raise BadItem("no_alpha", "the foreground has no alpha channel")
        _check_size("foreground", found.size, found.stored_size, picture)
        if not (found.alpha >= VISIBLE_ALPHA).any():
            raise BadItem("empty_alpha", "the foreground is fully transparent")
        return found.rgba


def _named(role: str, read: Callable[[bytes], T], data: bytes) -> T:
    """What a reader makes of a file; its faults name the role."""
    try:
        return read(data)
    except BadItem as fault:
        raise BadItem(fault.reason, f"the {role}: {fault.detail}") from fault


def _why_bad(name: str) -> str:
    said = ascii(name)[:80]
    if name.startswith("._"):
        return f"{said} is a companion file that macOS writes, not a picture: remove it"
    if any("\udc80" <= character <= "\udcff" for character in name):
        return f"the file name {said} is not UTF-8: rename it"
    return f"{said} cannot name an image: it is too long, begins with . or -, or holds control characters or \\"


def _check_size(role: str, size: tuple[int, int], stored: tuple[int, int], picture: Picture) -> None:
    """Raises BadItem where a picture is not of the image's size, both upright; sizes are (height, width), px."""
    if size == picture.size:
        return
    hint = ""
    if stored == picture.stored_size:
        turned = "image" if picture.size != picture.stored_size else role
        hint = (
            f"; they fit as stored, before the {turned}'s orientation tag is applied: turn both upright, or remove the "
            "tag"
        )
    raise BadItem("shape_mismatch", f"the {role} is {_said(size)}, the image {_said(picture.size)}{hint}")


def _said(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _check_agrees(image: Rgb, background: Rgb, visible: Mask) -> None:
    """An image and its background differ most where the object is; otherwise the pair or the mask is wrong."""
    difference = np.maximum(image, background) - np.minimum(image, background)
    inside, outside = float(difference[visible].mean()), float(difference[~visible].mean())
    if inside <= outside:
        raise BadItem(
            "mask_disagrees",
            f"image and background differ by {inside:.1f} gray levels where the object shows and by {outside:.1f} "
            "elsewhere: another background, another mask, or mask_is is inverted",
        )


def _occluded(alpha: Gray, visible: Mask) -> float:
    there = alpha >= VISIBLE_ALPHA
    return round(1.0 - float((there & visible).sum() / there.sum()), 4)
