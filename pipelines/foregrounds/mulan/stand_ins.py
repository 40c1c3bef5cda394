"""Stand-ins for the names that a foreign pickle may use: objects that only check and store their arguments.

They replace `numpy.dtype`, `numpy.ndarray`, and numpy's and Pillow's rebuilding functions. None of them allocates by
a size that the pickle claims: arrays are views of bytes that are present. `unpickle` maps names to them.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from decoupage.faults import BadItem
from decoupage.images.types import Array

MAX_DIMENSIONS = 4

_DTYPE = re.compile(r"[biuf](1|2|4|8)")
_ROW_BITS = {"1": 1, "L": 8, "LA": 16, "RGB": 24, "RGBA": 32}


@dataclass(frozen=True)
class Picture:
    """A pickled PIL image, not decoded further.

    Attributes:
        mode: Pillow's name of the pixel layout, one of 1, L, LA, RGB, RGBA; 1 = 1 bit per pixel, rows padded to bytes.
        size: (width, height) in pixels.
        data: the raw bytes.
    """

    mode: str
    size: tuple[int, int]
    data: bytes | bytearray


class StandIn:
    """A callable name, without a dict and with a `__setstate__` that refuses, so a pickle cannot alter it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the replacement with the pickle's arguments."""
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise BadItem("bad_pickle", "it sets the state of a function")


class NdarrayName:
    """`numpy.ndarray`: passed to `_reconstruct` as a name, never called."""

    def __new__(cls, *arguments: Any) -> "NdarrayName":
        """Raises BadItem: no file written by MuLAn calls it, and its argument is a size."""
        raise BadItem("too_large", f"it calls numpy.ndarray{_show(arguments)}")

    def __setstate__(self, state: object) -> None:
        raise BadItem("bad_pickle", "it sets the state of numpy.ndarray")


class Dtype:
    """`numpy.dtype(code, align, copy)`, whose state then gives the byte order."""

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
        """The numpy dtype it stands for."""
        return np.dtype(self._order.replace("|", "=") + self._code)


class ArrayStandIn:
    """An array that receives its state (version, shape, dtype, is Fortran ordered, bytes)."""

    __slots__ = ("array",)
    array: Array

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise BadItem("bad_pickle", "an array's state is not a 5-tuple")
        _, shape, dtype, is_fortran, data = state
        self.array = _make_array(data, dtype, shape, "F" if is_fortran else "C")


class ImageStandIn:
    """A PIL image that receives its state [info, mode, size, palette, bytes, values of its file format]."""

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
        if len(take_bytes(data)) != expected:
            raise BadItem("bad_pickle", f"a {width}x{height} {mode} picture has {expected} bytes, got {len(data)}")
        self.picture = Picture(mode, (width, height), data)


def reconstruct(kind: object, shape: object = (0,), code: object = b"b") -> ArrayStandIn:
    """`numpy.core.multiarray._reconstruct`: an empty array, filled later by its state."""
    if kind is not NdarrayName:
        raise BadItem("bad_pickle", "_reconstruct takes numpy.ndarray")
    return ArrayStandIn()


def scalar(dtype: object, data: object) -> bool | int | float:
    """`numpy.core.multiarray.scalar`, as a plain number."""
    return _make_array(data, dtype, (1,), "C").item()


def frombuffer(data: object, dtype: object, shape: object, order: object, axis_order: object = None) -> ArrayStandIn:
    """`numpy.core.numeric._frombuffer`, of protocol 5; order is C, F, or K with the axes' order."""
    made = ArrayStandIn()
    if order == "K" and axis_order is not None:
        array = _make_array(data, dtype, shape, "C")
        made.array = array.transpose(_shape(axis_order, (array.ndim,)))
    else:
        made.array = _make_array(data, dtype, shape, "F" if order == "F" else "C")
    return made


def _make_array(data: object, dtype: object, shape: object, order: Any) -> Array:
    """A read-only array over the bytes, without a copy."""
    if not isinstance(dtype, Dtype):
        raise BadItem("bad_pickle", "an array without a dtype")
    kind = dtype.resolve()
    sides = _shape(shape, range(MAX_DIMENSIONS + 1))
    content = take_bytes(data)
    if len(content) != math.prod(sides) * kind.itemsize:
        raise BadItem("bad_pickle", f"{kind} array of shape {sides} does not fit {len(content)} bytes")
    return np.frombuffer(content, kind).reshape(sides, order=order)


def _shape(value: object, lengths: Any) -> tuple[int, ...]:
    is_shape = isinstance(value, tuple | list) and len(value) in lengths
    if not is_shape or not all(type(side) is int and 0 <= side < 1 << 40 for side in value):  # type: ignore[attr-defined]
        raise BadItem("bad_pickle", f"shape {_show(value)}")
    return tuple(value)  # type: ignore[arg-type]


def take_bytes(value: object) -> bytes:
    """The value if it is bytes. Raises BadItem otherwise."""
    if not isinstance(value, bytes | bytearray):
        raise BadItem("bad_pickle", f"bytes were expected, got {type(value).__name__}")
    return value  # type: ignore[return-value]


def _show(value: object) -> str:
    """A short text for a foreign value of any size."""
    if isinstance(value, tuple | list):
        return f"({', '.join(_show(item) if type(item) in (int, str) else '...' for item in value[:5])})"
    if type(value) is str:
        return repr(value[:40])
    if type(value) is int and value.bit_length() <= 64:
        return str(value)
    return f"of type {type(value).__name__}"
