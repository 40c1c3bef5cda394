"""Reads a zlib file into memory, with a bound on what it may inflate to. What the bytes mean is not known here."""

import zlib
from pathlib import Path

from decoupage.faults import BadItem

_CHUNK_BYTES = 1 << 20


def inflate(path: Path, max_bytes: int) -> bytes:
    """The content of a file that is one whole zlib stream (RFC 1950).

    Raises:
        BadItem: `not_zlib`, `truncated`, `trailing_data`, `bad_zlib` (damaged inside) or `too_large`.
    """
    inflater = zlib.decompressobj()
    chunks: list[bytes] = []
    room = max_bytes
    with path.open("rb") as file:
        _check_header(file.read(2))
        file.seek(0)
        while not inflater.eof:
            compressed = inflater.unconsumed_tail or file.read(_CHUNK_BYTES)
            if not compressed:
                raise BadItem("truncated", f"the zlib stream stops after {max_bytes - room} bytes without its end")
            try:
                # One byte more than there is room for tells a full annotation from one that is too large.
                chunk = inflater.decompress(compressed, room + 1)
            except zlib.error as error:
                raise BadItem("bad_zlib", str(error)) from error
            if len(chunk) > room:
                raise BadItem("too_large", f"it inflates to more than {max_bytes} bytes")
            room -= len(chunk)
            chunks.append(chunk)
        if inflater.unused_data or file.read(1):
            raise BadItem("trailing_data", "bytes follow the end of the zlib stream")
    return b"".join(chunks)


def _check_header(header: bytes) -> None:
    """RFC 1950: method 8 in the low nibble, and the two bytes as a number divide by 31."""
    if len(header) < 2:
        raise BadItem("truncated", f"the file holds {len(header)} bytes")
    if header[0] & 0x0F != 8 or int.from_bytes(header, "big") % 31:
        raise BadItem("not_zlib", f"it starts with {header.hex(' ')}, not with a zlib header")
