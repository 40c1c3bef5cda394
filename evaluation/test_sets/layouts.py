"""Where published sets keep their pictures, by name, and how a layout's patterns are looked up in a folder.

What is known of each set, and from where: docs/test_sets.md. A profile can add its own layouts.
"""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from decoupage.faults import BadSetup
from decoupage.images.reading import SUFFIXES
from evaluation.config.test_sets import LayoutConfig

LAYOUTS: Mapping[str, LayoutConfig] = {
    "plain": LayoutConfig(image="image/*", mask="mask/*", background="background/*", foreground="foreground/*"),
    "rord": LayoutConfig(
        image="img/*", mask="mask/*", background="gt/*", mask_is="black", scene=r"^(.+?)(?:_W\d+)?_F\d+$"
    ),
    "rord_val": LayoutConfig(image="paste/*", mask="mask/*", background="gt/*", scene=r"^(.+?)(?:_W\d+)?_F\d+$"),
    "ober": LayoutConfig(image="input/*", mask="object_mask/*", background="gt/*"),
    "ober_effect": LayoutConfig(
        image="input/*", mask="object_effect_mask/*", background="gt/*", visible="object_mask/*"
    ),
    "removal_bench": LayoutConfig(image="images/*", mask="masks/*", background="gt/*"),
    "corne": LayoutConfig(image="shot/*", mask="mask_sam/*", background="bg/*"),
    "corne_effect": LayoutConfig(image="shot/*", mask="mask_eff/*", background="bg/*", visible="mask_sam/*"),
}
"""Those that end in `_effect` give methods the mask of object and shadow; regions still come from the object."""


def find_layout(name: str, own: Mapping[str, LayoutConfig]) -> LayoutConfig:
    """A layout of the profile, or a named one.

    Raises:
        BadSetup: there is none with that name; the message lists the known ones.
    """
    known = {**LAYOUTS, **own}
    if name not in known:
        raise BadSetup(f"there is no layout {name!r}; known: {', '.join(known)}, or add evaluation.test_sets.layouts")
    return known[name]


def matches(folder: Path, pattern: str) -> dict[str, list[Path]]:
    """Image's name -> its pictures below a folder, where more than one fits sorted; the names are sorted too.

    Names are composed (Unicode's NFC), because macOS writes them decomposed, an accented letter as two characters.
    Everything that is not a folder counts as a picture here; an unreadable one is reported when it is read.

    Args:
        pattern: as `LayoutConfig` takes it; ending in `*` it takes every format of pictures.
    """
    before, after = map(re.escape, pattern.split("*"))
    form = re.compile(f"{before}(?P<name>[^/]+){after or r'[.][^./]+'}")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(pattern)):
        match = form.fullmatch(path.relative_to(folder).as_posix())
        if match and path.suffix.lower() in SUFFIXES and not path.is_dir():
            found.setdefault(unicodedata.normalize("NFC", match["name"]), []).append(path)
    return dict(sorted(found.items()))
