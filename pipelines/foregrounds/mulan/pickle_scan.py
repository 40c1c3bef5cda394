"""Scans a pickle's opcodes before anything is built from it, to bound the memory and time that building it can take.

A few kilobytes of opcodes can make the unpickler allocate gigabytes (millions of empty lists, a memo slot with a huge
number, a frame or a string that claims a size). An annotation is a few large arrays and a few hundred opcodes,
so tight limits cost nothing. Which callables a pickle may name is decided in `unpickle`.
"""

import pickletools
import re

from decoupage.faults import BadItem

MAX_OPCODES = 20_000
"""A real annotation of ten instances has about 3,000."""
MAX_FRAME_BYTES = 1 << 20
"""The pickler closes a frame at 64 KiB and writes larger objects outside of frames."""
MAX_NUMBER_BYTES = 1 << 12

_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_FORBIDDEN = frozenset({"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "INST", "OBJ", "NEXT_BUFFER"})
_SETS = frozenset({"EMPTY_SET", "ADDITEMS", "FROZENSET"})
"""Putting a value into a set hashes it, which takes forever for tuples that hold each other twice, forty deep."""
_SIZE_BYTES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
# The first byte of the UTF-8 form of a character above U+00FF. One such character makes Python hold the whole
# string with 2 or 4 bytes a character; bytes pickled by protocol 2 as text never contain one.
_WIDE = re.compile(rb"[\xc4-\xff]")
_WIDE_TEXT_BYTES = 1 << 16


def scan(data: bytes) -> None:
    """Check every opcode up to STOP.

    Raises:
        BadItem: `bad_pickle` (damaged, beyond the limits above, or with a set), `forbidden_pickle` (persistent ids,
            extension codes, old class instances), `trailing_data` (bytes after STOP).
    """
    position = 0
    for _ in range(MAX_OPCODES):
        opcode = _OPCODES.get(data[position : position + 1].decode("latin-1"))
        if opcode is None:
            raise BadItem("bad_pickle", f"no opcode at byte {position} of {len(data)}")
        if opcode.name in _FORBIDDEN:
            raise BadItem("forbidden_pickle", f"opcode {opcode.name} at byte {position}")
        if opcode.name in _SETS:
            raise BadItem("bad_pickle", f"it holds a set (opcode {opcode.name} at byte {position})")
        position = _skip_argument(data, position + 1, opcode)
        if opcode.name == "STOP":
            if position != len(data):
                raise BadItem("trailing_data", f"{len(data) - position} bytes after the pickle's end")
            return
    raise BadItem("bad_pickle", f"more than {MAX_OPCODES} opcodes")


def _skip_argument(data: bytes, position: int, opcode: pickletools.OpcodeInfo) -> int:
    """The position after an opcode's argument, checked to lie inside the data and within the limits."""
    argument = opcode.arg
    if argument is None:
        return position
    if argument.n == pickletools.UP_TO_NEWLINE:
        return _skip_lines(data, position, 2 if opcode.name == "GLOBAL" else 1, opcode.name)
    size_bytes = _SIZE_BYTES.get(argument.n, 0)
    end = position + (size_bytes or argument.n)
    value = int.from_bytes(data[position:end], "little")
    if size_bytes:
        position, end = end, end + value
    if end > len(data):
        raise BadItem("bad_pickle", f"{opcode.name} reaches to byte {end} of {len(data)}")
    if opcode.name in ("LONG_BINPUT", "LONG_BINGET") and value > MAX_OPCODES:
        raise BadItem("bad_pickle", f"memo slot {value}")
    if opcode.name == "FRAME" and value > MAX_FRAME_BYTES:
        raise BadItem("bad_pickle", f"a frame of {value} bytes")
    if opcode.name in ("LONG1", "LONG4") and end - position > MAX_NUMBER_BYTES:
        raise BadItem("bad_pickle", f"a number of {end - position} bytes")
    if "UNICODE" in opcode.name and end - position > _WIDE_TEXT_BYTES and _WIDE.search(data, position, end):
        raise BadItem("bad_pickle", f"a text of {end - position} bytes with characters above U+00FF")
    return end


def _skip_lines(data: bytes, position: int, num_lines: int, name: str) -> int:
    for _ in range(num_lines):
        end = data.find(b"\n", position, position + MAX_NUMBER_BYTES)
        if end < 0:
            raise BadItem("bad_pickle", f"{name} at byte {position} has no end of line")
        if name == "PUT" and end - position > len(str(MAX_OPCODES)):
            raise BadItem("bad_pickle", f"memo slot of {end - position} digits")
        position = end + 1
    return position
