"""Turns a foreign pickle into plain values and arrays, without executing anything it names.

A pickle is a program: it names callables and has them called. Here every name resolves to a stand-in of ours
that only records and checks its arguments, so that neither foreign code nor numpy's own constructors (which
take object arrays and sizes of 10**12) ever run. Known are the names that MuLAn's content can produce, over numpy 1
and 2, Pillow 10 to 13 and protocols 2 to 5; a file with any other name is refused.

Nothing foreign is hashed but text and small numbers: the hash of a tuple hashes what it holds, as often as it is held.
Hence Python's own reader, slower than the C one, whose opcodes that fill a dict look at the keys first.
"""

import io
import pickle
import struct
from collections.abc import Iterable
from pickle import _Unpickler as PythonUnpickler
from typing import Any, ClassVar

from decoupage.faults import BadItem
from decoupage.text_files import printable
from pipelines.foregrounds.mulan.pickle_scan import scan
from pipelines.foregrounds.mulan.stand_ins import (
    ArrayStandIn,
    Dtype,
    ImageStandIn,
    NdarrayName,
    StandIn,
    frombuffer,
    reconstruct,
    scalar,
    take_bytes,
)

MAX_DEPTH = 8
MAX_VALUES = 20_000
MAX_KEY_BITS, MAX_KEY_LETTERS = 63, 200
"""Keys are numbers of at most so many bits, or text of at most so many letters."""

_IMAGES = {
    ("PIL.Image", "Image"),
    ("PIL.PngImagePlugin", "PngImageFile"),
    ("PIL.JpegImagePlugin", "JpegImageFile"),
}
_LOAD: dict[int, Any] = dict(PythonUnpickler.dispatch)
"""Opcode -> the method of Python's unpickler that carries it out."""
# Exceptions of the unpickler on damaged input, besides our own BadItem.
_DAMAGE = (
    *(pickle.UnpicklingError, struct.error),
    *(ArithmeticError, AttributeError, BufferError, EOFError, ImportError, LookupError, MemoryError, RecursionError),
    *(SystemError, TypeError, ValueError),
)


def unpickle(data: bytes, max_bytes: int) -> Any:
    """Dicts, lists, text, numbers, None, arrays (bool, int, uint, float) and `Picture`s; nothing else.

    Args:
        data: one whole pickle.
        max_bytes: bound of the bytes that the pickle may make us copy, besides its own.

    Raises:
        BadItem: `forbidden_pickle` (the detail names module.name), `object_array`, `too_large`, `trailing_data`
            or `bad_pickle`.
    """
    scan(data)
    reader = _Reader(data, max_bytes)
    try:
        loaded = reader.load()
    except BadItem:
        raise
    except _DAMAGE as error:
        raise BadItem("bad_pickle", printable(f"{type(error).__name__}: {error}")) from error
    return _Plain(max_bytes).convert(loaded, depth=0)


class _Reader(PythonUnpickler):
    """Python's unpickler with every name replaced by a stand-in, and every key checked before it is hashed."""

    dispatch: ClassVar[dict[int, Any]] = dict(_LOAD)
    stack: list[Any]

    def __init__(self, data: bytes, max_bytes: int) -> None:
        super().__init__(io.BytesIO(data))
        self._max_bytes = max_bytes
        self._room = max_bytes
        self._stand_ins = {
            ("numpy", "dtype"): StandIn(Dtype),
            ("numpy", "ndarray"): NdarrayName,
            ("_codecs", "encode"): StandIn(self._encode),
            ("builtins", "bytearray"): StandIn(self._bytearray),
            ("__builtin__", "bytearray"): StandIn(self._bytearray),  # its name in protocol 2
            **dict.fromkeys(_IMAGES, ImageStandIn),
        }
        for core in ("numpy.core", "numpy._core"):
            self._stand_ins[f"{core}.multiarray", "_reconstruct"] = StandIn(reconstruct)
            self._stand_ins[f"{core}.multiarray", "scalar"] = StandIn(scalar)
            self._stand_ins[f"{core}.numeric", "_frombuffer"] = StandIn(frombuffer)

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name. Raises BadItem `forbidden_pickle` for an unknown one."""
        stand_in = self._stand_ins.get((module, name))
        if stand_in is None:
            raise BadItem("forbidden_pickle", printable(f"it names {module}.{name}"))
        return stand_in

    def _set_item(self) -> None:
        check_keys(self.stack[-2:-1])
        _LOAD[pickle.SETITEM[0]](self)

    def _set_items(self) -> None:
        check_keys(self.stack[::2])
        _LOAD[pickle.SETITEMS[0]](self)

    def _make_dict(self) -> None:
        check_keys(self.stack[::2])
        _LOAD[pickle.DICT[0]](self)

    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items
    dispatch[pickle.DICT[0]] = _make_dict

    def _encode(self, text: object, encoding: object = "latin1") -> bytes:
        """Bytes as protocol 2 encodes them: text of the characters U+0000 to U+00FF."""
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise BadItem("bad_pickle", "_codecs.encode takes text and latin1")
        self._copy(len(text))
        return text.encode("latin-1")

    def _bytearray(self, content: object = b"", encoding: object = "latin-1") -> bytes:
        if isinstance(content, str):
            return self._encode(content, encoding)
        # A number would allocate that many bytes, so only bytes are accepted, and they need no copy.
        return take_bytes(content)

    def _copy(self, num_bytes: int) -> None:
        self._room -= num_bytes
        if self._room < 0:
            raise BadItem("too_large", f"it would copy more than {self._max_bytes} bytes")


class _Plain:
    """Converts loaded values, and accepts only the types that an annotation consists of."""

    def __init__(self, max_bytes: int) -> None:
        self._num_values = 0
        self._max_bytes = max_bytes
        self._room = max_bytes

    def convert(self, value: Any, depth: int) -> Any:
        self._num_values += 1
        # Shared or cyclic containers are tiny in a pickle and can be endless to walk.
        if depth > MAX_DEPTH or self._num_values > MAX_VALUES:
            raise BadItem("bad_pickle", f"nested deeper than {MAX_DEPTH}, or more than {MAX_VALUES} values")
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is dict:
            return {key: self.convert(item, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return [self.convert(item, depth + 1) for item in value]
        if isinstance(value, ArrayStandIn) and hasattr(value, "array"):
            self._count(value.array.nbytes)
            return value.array
        if isinstance(value, ImageStandIn) and hasattr(value, "picture"):
            self._count(len(value.picture.data))
            return value.picture
        raise BadItem("bad_pickle", f"a value of type {type(value).__name__.lstrip('_')}")

    def _count(self, num_bytes: int) -> None:
        # One array shared by a thousand instances is small here, but becomes a thousand pictures later.
        self._room -= num_bytes
        if self._room < 0:
            raise BadItem("too_large", f"its arrays take more than {self._max_bytes} bytes")


def check_keys(keys: Iterable[object]) -> None:
    """Raises BadItem `bad_pickle` for a key that is not text or a number of bounded size; none is hashed."""
    for key in keys:
        if type(key) is int and key.bit_length() <= MAX_KEY_BITS:
            continue
        if type(key) is str and len(key) <= MAX_KEY_LETTERS:
            continue
        large = "of too many digits or letters" if type(key) in (int, str) else f"of type {type(key).__name__}"
        raise BadItem("bad_pickle", f"a key {large}")
