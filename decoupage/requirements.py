"""What a profile requires of a machine before it can run, stated by the part that requires it.

Every part lists its own (`requirements(config) -> list[Requirement]`); `decoupage doctor` gathers them. Asking
downloads and changes nothing, and of a secret only its presence is reported.
"""

import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from decoupage.faults import BadSetup

WIDTH = 80
"""Columns of a terminal at its usual width: what a person reads fits into them."""
_COMMAND = re.compile(r"(?:hf download|python -c|pip install|decoupage (?:train|scenes)) .*?(?=, or |, then |$)")
"""A command in a fix, which is printed unbroken on its own line, so that it can be copied."""


@dataclass(frozen=True)
class Space:
    """Disk space that is still needed.

    Attributes:
        use: what takes it, in a few words.
        folder: where it will lie, a path or an address.
        gb: GB, less what is there already.
    """

    use: str
    folder: str
    gb: float


@dataclass(frozen=True)
class Requirement:
    """One thing that must be there.

    Attributes:
        name: of the thing, e.g. `layerdiffuse.decoder`.
        present: whether it was found.
        found: what was found, or what is wanted.
        fix: the command or link that gets it.
        space: room that getting it takes, or that the run takes for it.
    """

    name: str
    present: bool
    found: str
    fix: str
    space: tuple[Space, ...] = ()


def install_line(extra: str) -> str:
    """How to install an extra of this package, which no index has, so that it takes a checkout."""
    return f"in a checkout of decoupage: pip install --constraint constraints.txt --editable '.[{extra}]'"


def wrapped(text: str, first: str = "", others: str = "") -> list[str]:
    """Lines of at most `WIDTH` columns, where no word (an address, a path) is longer; the first one begins as given."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def as_lines(requirement: Requirement, indent: str = "    ") -> list[str]:
    """A requirement for a person: whether it is there, what was found, and the fix where it is missing."""
    inner = indent + " " * 8
    lines = wrapped(
        f"{requirement.name}: {requirement.found}", f"{indent}{'ok     ' if requirement.present else 'MISSING'} ", inner
    )
    if requirement.present:
        return lines
    command = _COMMAND.search(requirement.fix)
    if command is None:
        return lines + wrapped(requirement.fix, inner, inner)
    before, after = requirement.fix[: command.start()].strip(), requirement.fix[command.end() :].lstrip(", ")
    around = [wrapped(text, inner, inner) if text else [] for text in (before, after)]
    return [*lines, *around[0], inner + command[0], *around[1]]


def require(requirements: Iterable[Requirement]) -> None:
    """Stop before work starts where something is missing.

    Raises:
        BadSetup: the message names each thing with its fix.
    """
    missing = [f"{one.name}: {one.found}. Fix: {one.fix}" for one in requirements if not one.present]
    if missing:
        raise BadSetup("; ".join(missing))


def disks(requirements: Iterable[Requirement]) -> Iterator[Requirement]:
    """A requirement for each disk: the room that all others take on it, in whatever folder, and what is free there.

    An object store is listed and not measured.
    """
    by_disk: dict[str, list[Space]] = {}
    for space in (space for requirement in requirements for space in requirement.space if space.gb > 0):
        by_disk.setdefault(_disk(space.folder), []).append(space)
    for disk, spaces in by_disk.items():
        wanted_gb = sum(space.gb for space in spaces)
        uses = "; ".join(f"{space.use} {space.gb:.1f} in {space.folder}" for space in spaces)
        if "://" in disk:
            yield Requirement(f"disk {disk}", True, f"{wanted_gb:.1f} GB wanted, free room not measured: {uses}", "")
            continue
        free_gb = shutil.disk_usage(disk).free / 1e9
        lack = f"{wanted_gb - free_gb:.1f} GB too little: " if wanted_gb > free_gb else ""
        found = f"{lack}{wanted_gb:.1f} GB wanted, {free_gb:.1f} GB free: {uses}"
        fix = "free space, or put one of these folders on a larger disk (the root by DECOUPAGE_ROOT)"
        yield Requirement(f"disk {disk}", wanted_gb <= free_gb, found, fix)


def _disk(folder: str) -> str:
    """The mount point of the disk that a folder lies on or will lie on; an object store's root as it is."""
    if "://" in folder:
        return folder
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    while not os.path.ismount(place):
        place = place.parent
    return str(place)
