"""The files that a person gives to a command, checked before any model is loaded: a photograph, its masks, its maps.

Each fault is a ValueError that names the file, says what is wrong with it and how to fix it.
"""

import os
import sys
from pathlib import Path

from PIL import Image

from decoupage.faults import BadItem
from decoupage.images.masks import as_mask, mask_doubts, mask_of
from decoupage.images.reading import Picture, open_image, orientation, read_file, read_picture, turned_upright
from decoupage.images.types import Array, Mask
from decoupage.maps.table import MAPS
from decoupage.text_files import printable

_TURN_WORDS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored upside down",
    5: "mirrored and turned by 90 degrees counter-clockwise",
    6: "turned by 90 degrees clockwise",
    7: "mirrored and turned by 90 degrees clockwise",
    8: "turned by 90 degrees counter-clockwise",
}
"""EXIF orientation -> what viewers do to such a picture."""


def read_photograph(path: Path) -> Picture:
    """A photograph, upright, in the colour profile that it is in.

    Raises:
        ValueError: no readable picture, or transparent pixels.
    """
    try:
        picture = read_picture(read_file(path), keep_profile=True)
    except (BadItem, FileNotFoundError) as fault:
        raise ValueError(told(path, fault)) from fault
    if not picture.is_opaque:
        raise ValueError(
            f"{shown(path)}: the picture has transparent pixels, and what lies under them is not a photograph: "
            "lay it over a background first"
        )
    return picture


def read_mask(path: Path, picture: Picture) -> Mask:
    """A mask of a photograph, upright. Prints a warning where it is probably not the one that was meant.

    Raises:
        ValueError: no readable picture, of another size, or no mask (`as_mask`).
    """
    try:
        stored = open_image(read_file(path))
        upright = turned_upright(stored)
        _check_fits(stored, upright, picture)
        mask = mask_of(upright)
        as_mask(mask, picture.size)
        doubts = mask_doubts(upright)
    except (BadItem, FileNotFoundError) as fault:
        raise ValueError(told(path, fault)) from fault
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {error}") from error
    is_drawn_upright = orientation(stored) != 1 or picture.orientation == 1
    if not is_drawn_upright and _size(stored) == picture.stored_size == picture.size:
        doubts.append(
            f"is taken as drawn on the upright photograph, which is stored otherwise: viewers show it "
            f"{_TURN_WORDS[picture.orientation]}"
        )
    for doubt in doubts:
        print(f"warning: {shown(path)}: the mask {doubt}", file=sys.stderr)
    return mask


def read_maps(folder: Path) -> dict[str, Array]:
    """The maps of a folder, by name, as they are stored in a shard.

    Raises:
        ValueError: none is there, or one is not a readable map.
    """
    found = {}
    for name, row in MAPS.items():
        path = folder / f"{name}.png"
        if os.path.lexists(path):
            try:
                found[name] = row.decode(read_file(path))
            except (BadItem, FileNotFoundError) as fault:
                raise ValueError(f"--maps {told(path, fault)}") from fault
    if not found:
        names = ", ".join(f"{name}.png" for name in MAPS)
        raise ValueError(f"--maps must be auto, none or a folder with any of {names}, got {shown(folder)}")
    return found


def shown(path: Path) -> str:
    """A path for a message."""
    return printable(str(path))


def _check_fits(stored: Image.Image, upright: Image.Image, picture: Picture) -> None:
    """Raise ValueError where a mask has another size than its photograph; orientation tags are the usual reason."""
    if _size(upright) == picture.size:
        return
    sizes = f"the mask is {stored.width}x{stored.height} px, the picture is {picture.size[1]}x{picture.size[0]} px"
    if picture.orientation != 1 and _size(stored) == picture.stored_size:
        turned = _TURN_WORDS[picture.orientation]
        raise ValueError(
            f"{sizes} upright: the mask fits it only as it is stored, before its orientation tag "
            f"({picture.orientation}) is applied. Save the mask {turned}, as viewers show the picture, or give it the "
            "same tag"
        )
    tag = orientation(stored)
    if tag != 1 and _size(stored) == picture.size:
        raise ValueError(f"{sizes}, but the mask's own orientation tag ({tag}) turns it: remove that tag")
    if tag != 1:
        sizes = sizes.replace(" px,", f" px (with an orientation tag, {tag}),", 1)
    raise ValueError(sizes)


def _size(image: Image.Image) -> tuple[int, int]:
    return image.height, image.width


def told(path: Path, fault: BadItem | FileNotFoundError) -> str:
    """A fault of a file with its whole path."""
    if isinstance(fault, FileNotFoundError):
        return f"{shown(path)} is not there"
    if fault.reason in ("bad_image", "truncated"):
        return f"{shown(path)}: not a readable picture ({fault.detail})"
    # Faults of the file itself begin with its name.
    name = printable(path.name)
    return shown(path) + (fault.detail.removeprefix(name) if fault.detail.startswith(name) else f": {fault.detail}")
