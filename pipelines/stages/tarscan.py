"""Lists the members of a tar of any origin by its headers alone, without trust in any size or name in it.

`tarfile` follows links, expands sparse files and reads extended headers of any size; a tar that people pass on needs
none of that. What is not a plain file is listed as what it is, so that readers can name or skip it.
"""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from pipelines.stages.tarfiles import BLOCK, padding

Kind = Literal["file", "folder", "link", "device", "sparse"]
MAX_EXTENDED_BYTES = 1 << 16
"""Longest extended header (a long name, times of other formats)."""
MAX_MEMBERS = 1_000_000
_KINDS: dict[bytes, Kind] = {
    **dict.fromkeys((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE), "file"),
    **dict.fromkeys((tarfile.LNKTYPE, tarfile.SYMTYPE), "link"),
    tarfile.DIRTYPE: "folder",
    tarfile.GNUTYPE_SPARSE: "sparse",
}
_EXTENDED = (
    *(tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_WITHOUT_DATA = ("folder", "link", "device")
_IS_EXTENDED, _MORE_FOLLOWS = 482, 504
"""Bytes of an old sparse header, and of the blocks after it, that say that another block of its map follows."""


class Entry(NamedTuple):
    """One member: its name as it stands in the tar, what it is, and where its data lies, in bytes from the start."""

    name: str
    kind: Kind
    offset: int
    num_bytes: int


def scan(file: BinaryIO, num_bytes: int) -> Iterator[Entry]:
    """The members of a tar, in order; their data is not read.

    Args:
        file: can be sought in.
        num_bytes: its size.

    Raises:
        tarfile.ReadError: a header is damaged, a member is longer than the file, or the tar is cut off; what came
            before is good.
    """
    place, extended, count = 0, dict[str, str](), 0
    while place + BLOCK <= num_bytes:
        block = _read(file, place, BLOCK)
        if not block.strip(b"\0"):
            return
        info = _header(block, place)
        data = place + BLOCK
        if info.type in _EXTENDED:
            extended |= _extended(file, info, data, num_bytes)
            place = data + info.size + len(padding(info.size))
            continue
        is_sparse = any(name.startswith("GNU.sparse") for name in extended)
        kind = "sparse" if is_sparse else _KINDS.get(info.type, "device")
        name = extended.get("path", info.name)
        size = _size(extended.get("size"), info.size, name)
        extended = {}
        if kind == "sparse":
            data = _after_map(file, block, data, num_bytes)
        length = 0 if kind in _WITHOUT_DATA else size
        if data + length > num_bytes:
            raise tarfile.ReadError(f"{name!r} is cut off: {num_bytes - data} of {length} bytes are there")
        count += 1
        if count > MAX_MEMBERS:
            raise tarfile.ReadError(f"it has more than {MAX_MEMBERS} members")
        yield Entry(name, kind, data, length)
        place = data + length + len(padding(length))
    raise tarfile.ReadError("it is cut off: the mark of its end is missing")


def _header(block: bytes, place: int) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise tarfile.ReadError(f"the {BLOCK} bytes at {place} are not a tar header ({error})") from error
    if info.size < 0:
        raise tarfile.ReadError(f"{info.name!r} says that it has {info.size} bytes")
    return info


def _read(file: BinaryIO, place: int, num_bytes: int) -> bytes:
    file.seek(place)
    data = file.read(num_bytes)
    if len(data) < num_bytes:
        raise tarfile.ReadError(f"it is cut off at byte {place + len(data)}")
    return data


def _extended(file: BinaryIO, info: tarfile.TarInfo, place: int, num_bytes: int) -> dict[str, str]:
    """What an extended header says of the member after it: `path`, `size`, ..."""
    if info.size > min(MAX_EXTENDED_BYTES, num_bytes - place):
        raise tarfile.ReadError(f"an extended header has {info.size} bytes, at most {MAX_EXTENDED_BYTES} are read")
    data = _read(file, place, info.size)
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    if info.type == tarfile.GNUTYPE_LONGLINK:
        return {}
    found = {}
    while data.strip(b"\0"):
        length, _, rest = data.partition(b" ")
        if not (length.isdigit() and len(length) < 7 and len(length) + 1 < int(length) <= len(data)):
            raise tarfile.ReadError("an extended header is damaged")
        name, _, value = rest[: int(length) - len(length) - 1].partition(b"=")
        found[name.decode("utf-8", "surrogateescape")] = value[:-1].decode("utf-8", "surrogateescape")
        data = data[int(length) :]
    return found


def _size(said: str | None, stored: int, name: str) -> int:
    if said is None:
        return stored
    if not (said.isdecimal() and len(said) < 16):
        raise tarfile.ReadError(f"{name!r} says that it has {said[:40]!r} bytes")
    return int(said)


def _after_map(file: BinaryIO, block: bytes, place: int, num_bytes: int) -> int:
    """Where the data of a sparse member begins: after the blocks of its map."""
    more = block[156:157] == tarfile.GNUTYPE_SPARSE and block[_IS_EXTENDED]
    while more and place + BLOCK <= num_bytes:
        more = _read(file, place, BLOCK)[_MORE_FOLLOWS]
        place += BLOCK
    return place
