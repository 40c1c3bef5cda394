"""What a photograph is called: its id and its origin, by the path of its file; and which paths have no usable name.

An id is a function of the path, unique among all paths, and safe as the name of a shard's member. It is readable where
that leaves it unique: `lake.jpg` is `lake`, and whatever else could be called that, too, ends in a hash of its path.
"""

import re
from pathlib import PurePosixPath

from decoupage.randomness import digest
from decoupage.text_files import is_printable, printable
from pipelines.library.records import AnyRecord, BackgroundRecord

MAX_ID = 64
"""Longest id, its source included: what a member's name may be (docs/shards.md)."""
OURS = ("packaged", "openimages")
"""Sources whose files decoupage names itself, so that no two differ in their suffix or their separators alone."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_HASHED = re.compile(r".*-x[0-9a-f]{15}")
"""How ids end that hold a hash. `x` keeps them apart from OpenImages' ids, which are 16 hex digits."""


def usable_name(path: str) -> bool:
    """True for a path that every table, archive and terminal can hold.

    False for bytes that are not UTF-8, control characters, marks that change the direction of text, and backslashes,
    which are separators elsewhere. Blanks of any kind are fine.
    """
    return "\\" not in path and is_printable(path)


def item_key(path: str) -> str:
    """The name of a file in quarantine and messages: its path where that is usable, else the path escaped."""
    return path if usable_name(path) else printable(path)


def asset_id(source: str, path: str) -> str:
    """The id of a photograph, at most `MAX_ID` characters of `A-Z a-z 0-9 _ -`.

    Args:
        source: `folder`, `openimages`, ...
        path: of its file, relative to the source's folder, separated by `/`.
    """
    name = _joined(path)
    plain = source in OURS or (path.endswith(".jpg") and "/" not in path)
    if plain and _PLAIN.fullmatch(name) and not _HASHED.fullmatch(name) and len(source) + 1 + len(name) <= MAX_ID:
        return f"{source}-{name}"
    mark = f"-x{digest('photograph', path).hex()[:15]}"
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[: MAX_ID - len(source) - 1 - len(mark)]
    return f"{source}-{readable}{mark}"


def origin_of(path: str) -> str:
    """The photograph that a file shows, where nothing else says so: files that differ in their suffix show the same."""
    return str(PurePosixPath(path).with_suffix(""))


def former_names(record: AnyRecord) -> set[str]:
    """Id and origin of a photograph before ids were unique, where they differ: lists of people may still say so."""
    if not isinstance(record, BackgroundRecord):
        return set()
    name = _joined(record.path)
    return {name, f"{record.source}-{name}"} - {record.id, record.origin}


def _joined(path: str) -> str:
    return "-".join(PurePosixPath(path).with_suffix("").parts)
