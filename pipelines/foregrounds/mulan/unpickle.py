"""Turns a foreign pickle into plain values and arrays, without executing anything it names.

A pickle is a program: it names callables and has them called. Here every name resolves to a stand-in of ours
that only records and checks what it is given, so that neither foreign code nor numpy's own constructors (which
take object arrays and sizes of 10**12) ever run. The names that MuLAn's content can produce, over numpy 1 and 2,
Pillow 10 to 13 and protocols 2 to 5, are in the docs (docs/data.md); any other name is a fault of the file.
"""

import io
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.faults import BadItem
from pipelines.foregrounds.mulan.pickle_scan import scan
from pipelines.images.types import Array

MAX_DIMENSIONS = 4
MAX_DEPTH = 8
MAX_VALUES = 20_000

_DTYPE = re.compile(r"[biuf](1|2|4|8)")
_ROW_BITS = {"1": 1, "L": 8, "LA": 16, "RGB": 24, "RGBA": 32}
_IMAGES = {
    ("PIL.Image", "Image"),
    ("PIL.PngImagePlugin", "PngImageFile"),
    ("PIL.JpegImagePlugin", "JpegImageFile"),
}
# What the C unpickler raises on damaged input, besides our own faults.
_DAMAGE = (
    pickle.UnpicklingError,
    *(ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError, RecursionError),
    *(SystemError, TypeError, ValueError),
)


def unpickle(data: bytes, max_bytes: int) -> Any:
    """Dicts, lists, text, numbers, None, arrays (bool, int, uint, float) and `Picture`s; nothing else.

    Args:
        data: one whole pickle.
        max_bytes: bound of what the pickle may have copied, besides its own bytes.

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
        raise BadItem("bad_pickle", f"{type(error).__name__}: {error}"[:300]) from error
    return _Plain(max_bytes).convert(loaded, depth=0)


@dataclass(frozen=True)
class Picture:
    """A pickled PIL image, not decoded further: `mode` is one of 1, L, LA, RGB, RGBA.

    Attributes:
        mode: Pillow's name of the pixel layout; 1 = one bit a pixel, rows padded to bytes.
        size: (width, height) in pixels.
        data: the raw bytes.
    """

    mode: str
    size: tuple[int, int]
    data: bytes | bytearray


class _Reader(pickle.Unpickler):
    """The C unpickler with every name replaced by a stand-in."""

    def __init__(self, data: bytes, max_bytes: int) -> None:
        super().__init__(io.BytesIO(data))
        self._max_bytes = max_bytes
        self._room = max_bytes
        self._stand_ins = {
            ("numpy", "dtype"): _StandIn(_Dtype),
            ("numpy", "ndarray"): _NdarrayName,
            ("_codecs", "encode"): _StandIn(self._encode),
            ("builtins", "bytearray"): _StandIn(self._bytearray),
            ("__builtin__", "bytearray"): _StandIn(self._bytearray),  # its name in protocol 2
            **dict.fromkeys(_IMAGES, _Image),
        }
        for core in ("numpy.core", "numpy._core"):
            self._stand_ins[f"{core}.multiarray", "_reconstruct"] = _StandIn(_reconstruct)
            self._stand_ins[f"{core}.multiarray", "scalar"] = _StandIn(_scalar)
            self._stand_ins[f"{core}.numeric", "_frombuffer"] = _StandIn(_frombuffer)

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name."""
        stand_in = self._stand_ins.get((module, name))
        if stand_in is None:
            raise BadItem("forbidden_pickle", f"it names {module}.{name}"[:200])
        return stand_in

    def _encode(self, text: object, encoding: object = "latin1") -> bytes:
        """Bytes as protocol 2 writes them: text of the characters U+0000 to U+00FF."""
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise BadItem("bad_pickle", "_codecs.encode takes text and latin1")
        self._copy(len(text))
        return text.encode("latin-1")

    def _bytearray(self, content: object = b"", encoding: object = "latin-1") -> bytes:
        if isinstance(content, str):
            return self._encode(content, encoding)
        # A number would ask for that many bytes, so bytes are all it takes, and they need no copy.
        return _bytes(content)

    def _copy(self, num_bytes: int) -> None:
        self._room -= num_bytes
        if self._room < 0:
            raise BadItem("too_large", f"it has more than {self._max_bytes} bytes copied")


class _StandIn:
    """A name that may be called; without a dict and with a refusing setstate, so a pickle cannot alter it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise BadItem("bad_pickle", "it sets the state of a function")


class _NdarrayName:
    """`numpy.ndarray`: given to _reconstruct as a name, never called."""

    def __new__(cls, *arguments: Any) -> "_NdarrayName":
        raise BadItem("too_large", f"it calls numpy.ndarray{_show(arguments)}")

    def __setstate__(self, state: object) -> None:
        raise BadItem("bad_pickle", "it sets the state of numpy.ndarray")


class _Dtype:
    """`numpy.dtype(code, align, copy)`, then its state with the byte order."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: object, align: object = False, copy: object = True) -> None:
        if isinstance(code, str) and code.startswith("O"):
            raise BadItem("object_array", "it holds an array of Python objects")
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise BadItem("bad_pickle", f"dtype {_show(code)} is not bool, int, uint or float")
        self._code = code
        self._order = "="

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
            raise BadItem("bad_pickle", f"dtype state {_show(state)}")
        self._order = state[1]

    def resolve(self) -> np.dtype[Any]:
        return np.dtype(self._order.replace("|", "=") + self._code)


class _Array:
    """An array that waits for its state (version, shape, dtype, is Fortran ordered, bytes)."""

    __slots__ = ("array",)
    array: Array

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise BadItem("bad_pickle", "an array's state is not a 5-tuple")
        _, shape, dtype, is_fortran, data = state
        self.array = _make_array(data, dtype, shape, "F" if is_fortran else "C")


class _Image:
    """A PIL image that waits for its state [info, mode, size, palette, bytes, and what its file format adds]."""

    __slots__ = ("picture",)
    picture: Picture

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, list | tuple) or len(state) < 5:
            raise BadItem("bad_pickle", "a picture's state has fewer than 5 parts")
        _, mode, size, _, data = state[:5]
        if not isinstance(mode, str) or mode not in _ROW_BITS:
            raise BadItem("bad_pickle", f"a picture of mode {_show(mode)}, known: {', '.join(_ROW_BITS)}")
        width, height = _shape(size, (2,))
        expected = -(-width * _ROW_BITS[mode] // 8) * height
        if len(_bytes(data)) != expected:
            raise BadItem("bad_pickle", f"a {width}x{height} {mode} picture has {expected} bytes, got {len(data)}")
        self.picture = Picture(mode, (width, height), data)


def _reconstruct(kind: object, shape: object = (0,), code: object = b"b") -> _Array:
    if kind is not _NdarrayName:
        raise BadItem("bad_pickle", "_reconstruct takes numpy.ndarray")
    return _Array()


def _scalar(dtype: object, data: object) -> bool | int | float:
    return _make_array(data, dtype, (1,), "C").item()


def _frombuffer(data: object, dtype: object, shape: object, order: object, axis_order: object = None) -> _Array:
    made = _Array()
    if order == "K" and axis_order is not None:
        array = _make_array(data, dtype, shape, "C")
        made.array = array.transpose(_shape(axis_order, (array.ndim,)))
    else:
        made.array = _make_array(data, dtype, shape, "F" if order == "F" else "C")
    return made


def _make_array(data: object, dtype: object, shape: object, order: Any) -> Array:
    """A read-only array over the bytes, without a copy."""
    if not isinstance(dtype, _Dtype):
        raise BadItem("bad_pickle", "an array without a dtype")
    kind = dtype.resolve()
    sides = _shape(shape, range(MAX_DIMENSIONS + 1))
    content = _bytes(data)
    if len(content) != math.prod(sides) * kind.itemsize:
        raise BadItem("bad_pickle", f"{kind} array of shape {sides} does not fit {len(content)} bytes")
    return np.frombuffer(content, kind).reshape(sides, order=order)


def _shape(value: object, lengths: Any) -> tuple[int, ...]:
    is_shape = isinstance(value, tuple | list) and len(value) in lengths
    if not is_shape or not all(type(side) is int and 0 <= side < 1 << 40 for side in value):  # type: ignore[attr-defined]
        raise BadItem("bad_pickle", f"shape {_show(value)}")
    return tuple(value)  # type: ignore[arg-type]


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes | bytearray):
        raise BadItem("bad_pickle", f"bytes were expected, got {type(value).__name__}")
    return value  # type: ignore[return-value]


def _show(value: object) -> str:
    """A short text of a foreign value, whatever its size."""
    if isinstance(value, tuple | list):
        return f"({', '.join(_show(item) if type(item) in (int, str) else '...' for item in value[:5])})"
    if type(value) is str:
        return repr(value[:40])
    if type(value) is int and value.bit_length() <= 64:
        return str(value)
    return f"of type {type(value).__name__}"


class _Plain:
    """Walks what was loaded, and lets through only what an annotation consists of."""

    def __init__(self, max_bytes: int) -> None:
        self._num_values = 0
        self._max_bytes = max_bytes
        self._room = max_bytes

    def convert(self, value: Any, depth: int) -> Any:
        self._num_values += 1
        # Shared or cyclic containers cost a pickle nothing and a walker everything.
        if depth > MAX_DEPTH or self._num_values > MAX_VALUES:
            raise BadItem("bad_pickle", f"nested deeper than {MAX_DEPTH}, or more than {MAX_VALUES} values")
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is dict:
            return {self._key(key): self.convert(item, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return [self.convert(item, depth + 1) for item in value]
        if isinstance(value, _Array) and hasattr(value, "array"):
            self._count(value.array.nbytes)
            return value.array
        if isinstance(value, _Image) and hasattr(value, "picture"):
            self._count(len(value.picture.data))
            return value.picture
        raise BadItem("bad_pickle", f"a value of type {type(value).__name__.lstrip('_')}")

    def _key(self, key: object) -> str | int:
        if type(key) not in (str, int):
            raise BadItem("bad_pickle", f"a key of type {type(key).__name__}")
        return key  # type: ignore[return-value]

    def _count(self, num_bytes: int) -> None:
        # One array that a thousand instances share is small here, and a thousand pictures later.
        self._room -= num_bytes
        if self._room < 0:
            raise BadItem("too_large", f"its arrays take more than {self._max_bytes} bytes")
