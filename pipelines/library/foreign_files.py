"""Pictures in a folder that people filled: which names are usable, what may be read, and what its lists missed.

Backgrounds, cutouts and before/after pairs of a user's own are read through here.
"""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from decoupage.faults import BadItem
from decoupage.text_files import printable
from pipelines.library.assets import read_source_file
from pipelines.library.names import usable_name
from pipelines.library.unmatched import unmatched
from pipelines.stages.store import Store

log = logging.getLogger(__name__)


def read_foreign(folder: Store, file: str) -> bytes:
    """The bytes of a file in the folder.

    Raises:
        BadItem: `bad_name`, `outside`, `missing_image`, and as `read_source_file`.
    """
    if not usable_name(file):
        detail = "its name is not UTF-8, or holds control characters or a backslash; rename it"
        raise BadItem("bad_name", f"{printable(file)}: {detail}")
    stay_inside(folder, file)
    try:
        return read_source_file(folder, file)
    except FileNotFoundError as error:
        raise BadItem("missing_image", f"{file} is not in {folder.root}") from error


def stay_inside(folder: Store, file: str) -> None:
    """Refuse a link that leads out of a stranger's folder: it must not bring in pictures of this machine.

    Raises:
        BadItem: `outside`.
    """
    if folder.is_local and not Path(folder.url(file)).resolve().is_relative_to(Path(folder.url("")).resolve()):
        raise BadItem("outside", f"{file} is a link that leads out of the folder; copy what it leads to (cp -rL)")


def sizes_bytes(folder: Store, files: Sequence[str]) -> list[int]:
    """Sizes in bytes; -1 for a file that is absent or has no usable name, which `read_foreign` refuses."""
    usable = [file for file in files if usable_name(file)]
    sizes = dict(zip(usable, folder.sizes(usable), strict=True))
    return [-1 if (size := sizes.get(file)) is None else size for file in files]


def warn_of_names(folder: Store, there: Collection[str], table: str, named: Collection[str], otherwise: str) -> None:
    """Warn of lines of a table that name no file, and of linked folders, which are not followed.

    Args:
        there: all files of the folder.
        table: name of the table in the folder; named: the files that it names.
        otherwise: what holds for files without a line.
    """
    missed = unmatched(folder.url(table), named, set(there), what="no file in its folder")
    if missed.lines:
        log.warning("%s; %s", missed.sentence, otherwise)
    if folder.is_local:
        root = Path(folder.url(""))
        linked = [name for name in there if not Path(name).suffix and (root / name).is_dir()]
        if linked:
            log.warning("%s: links to folders are not followed: %s", root, ", ".join(map(printable, linked[:3])))
