"""Reads a pair of a folder: the pictures of one name by role, opened, upright, of one size, and of one scene.

Test sets and training read pairs here, so what is judged on and what is trained on pass the same checks.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.images.masks import mask_of
from decoupage.images.reading import SUFFIXES, Picture, open_image, read_file, read_picture, turned_upright
from decoupage.images.types import Mask, Rgb, Rgba
from pipelines.config.pairs import LayoutConfig
from pipelines.scenes.parts import VISIBLE_ALPHA

T = TypeVar("T")
NEEDED = ("image", "mask", "background")
Files = Mapping[str, tuple[str, ...]]
"""Role -> paths of one name in the folder; more than one where two formats have the name."""
_MAX_CHARACTERS, _MAX_BYTES = 128, 200
"""File systems hold names of 255 bytes; endings such as `.foreground.png` come after an image's name."""


def names_a_file(name: str) -> bool:
    """Whether a foreign name can be an image's: it becomes part of names of files, and stands in reports."""
    if not (0 < len(name) <= _MAX_CHARACTERS and name.isprintable()):
        return False
    return len(name.encode()) <= _MAX_BYTES and name[0] not in ".-" and not set(name) & set("/\\")


def told_name(name: str) -> str:
    """A foreign name for reports: as it is where it can be an image's, else escaped and cut."""
    return name if names_a_file(name) else ascii(name)[:80]


def matches(folder: Path, pattern: str) -> dict[str, tuple[str, ...]]:
    """Image's name -> paths of its pictures in a folder, where more than one fits sorted; the names are sorted too.

    Names are composed (Unicode's NFC), because macOS writes them decomposed, an accented letter as two characters.
    Everything that is not a folder counts as a picture here; an unreadable one is reported when it is read.

    Args:
        folder: that the pattern is relative to.
        pattern: as `LayoutConfig` takes it; ending in `*` it takes every format of pictures.
    """
    before, after = map(re.escape, pattern.split("*"))
    form = re.compile(f"{before}(?P<name>[^/]+){after or r'[.][^./]+'}")
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(path.relative_to(folder).as_posix() for path in folder.glob(pattern)):
        match = form.fullmatch(path)
        if match and path.lower().endswith(SUFFIXES) and not (folder / path).is_dir():
            name = unicodedata.normalize("NFC", match["name"])
            found[name] = (*found.get(name, ()), path)
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class PairFiles:
    """The files of all pairs in a folder.

    Attributes:
        by_role: role -> name -> paths in the folder, for the roles that the layout has.
    """

    by_role: Mapping[str, Mapping[str, tuple[str, ...]]]

    @classmethod
    def of(cls, folder: Path, layout: LayoutConfig, key: str, fix: str) -> "PairFiles":
        """List a folder; no picture is opened.

        Args:
            folder: that the layout's patterns are relative to.
            layout: which picture is where.
            key: setting that names the folder, for messages.
            fix: what to do about a folder of another layout.

        Raises:
            BadSetup: there is no such folder, or it holds no picture for a role that is needed.
        """
        if not folder.is_dir():
            raise BadSetup(f"{key}: there is no folder {folder}")
        patterns = {role: getattr(layout, role) for role in (*NEEDED, "visible", "foreground")}
        found = {role: matches(folder, pattern) for role, pattern in patterns.items() if pattern}
        for role in NEEDED:
            if not found[role]:
                raise BadSetup(f"{key}: {folder} holds no {role} ({patterns[role]}); {fix}")
        return cls(found)

    @property
    def names(self) -> list[str]:
        """Names of all pairs, sorted; also of those that lack a picture."""
        return sorted({name for role in (*NEEDED, "visible") for name in self.by_role.get(role, ())})

    def of_pair(self, name: str) -> Files:
        """The files of one pair, for the roles that it has."""
        return {role: files[name] for role, files in self.by_role.items() if name in files}


@dataclass(frozen=True)
class Pair:
    """Pictures of one size, upright.

    Attributes:
        image: [H, W, 3], with the object; background: [H, W, 3], without it.
        mask: [H, W], as a method is given it; visible: [H, W], where the object shows.
        foreground: [H, W, 4], the whole object; None = unknown.
    """

    image: Rgb
    background: Rgb
    mask: Mask
    visible: Mask
    foreground: Rgba | None


@dataclass(frozen=True)
class PairReader:
    """Reads pairs of one folder. Picklable."""

    folder: Path
    layout: LayoutConfig

    def read(self, name: str, files: Files) -> Pair:
        """One pair.

        Args:
            name: of the pair.
            files: as `PairFiles.of_pair` gives them.

        Raises:
            BadItem: `bad_name`; `missing_image`, `missing_mask`, `missing_background`, `missing_visible`; `ambiguous`
                where two files have a name; `shape_mismatch`, `transparent`, `bad_mask`, `empty_mask`, `full_mask`,
                `mask_disagrees`, `no_alpha`, `empty_alpha`; and as `read_picture`. The detail names the role.
        """
        if not names_a_file(name):
            raise BadItem("bad_name", _why_bad(name))
        picture = self._picture("image", name, files)
        background = self._picture("background", name, files)
        _check_size("background", background.size, background.stored_size, picture)
        mask = self._mask("mask", name, files, picture)
        visible = self._mask("visible", name, files, picture) if self.layout.visible else mask
        _check_agrees(picture.rgb, background.rgb, visible)
        foreground = self._foreground(name, files, picture) if "foreground" in files else None
        return Pair(picture.rgb, background.rgb, mask, visible, foreground)

    def _read(self, role: str, name: str, files: Files) -> bytes:
        pattern = getattr(self.layout, role)
        found = files.get(role, ())
        if not found:
            raise BadItem(f"missing_{role}", f"no {pattern.replace('*', name)}")
        if len(found) > 1:
            raise BadItem("ambiguous", f"{pattern}: {' and '.join(Path(path).name for path in found)}")
        try:
            return read_file(self.folder / found[0])
        except FileNotFoundError as error:
            raise BadItem(f"missing_{role}", f"{Path(found[0]).name} points to no file") from error

    def _picture(self, role: str, name: str, files: Files) -> Picture:
        """An opaque picture: what lies under transparent pixels is not part of a photograph."""
        picture = _named(role, read_picture, self._read(role, name, files))
        if not picture.is_opaque:
            raise BadItem("transparent", f"the {role} has transparent pixels: flatten it, or save it without alpha")
        return picture

    def _mask(self, role: str, name: str, files: Files, picture: Picture) -> Mask:
        stored = _named(role, open_image, self._read(role, name, files))
        image = turned_upright(stored)
        _check_size(role, (image.height, image.width), (stored.height, stored.width), picture)
        try:
            mask = mask_of(image) == (self.layout.mask_is == "white")
        except ValueError as error:
            raise BadItem("bad_mask", f"the {role}: {error}") from error
        if mask.any() and not mask.all():
            return mask
        values = np.asarray(image)
        detail = f"the {role}'s values ({image.mode}) go from {values.min()} to {values.max()}; the object is "
        detail += self.layout.mask_is
        if mask.any():
            raise BadItem("full_mask", detail)
        raise BadItem("empty_mask", detail)

    def _foreground(self, name: str, files: Files, picture: Picture) -> Rgba:
        found = _named("foreground", read_picture, self._read("foreground", name, files))
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
    said = told_name(name)
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
