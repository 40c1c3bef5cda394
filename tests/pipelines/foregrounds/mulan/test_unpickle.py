"""The reader of foreign pickles: what MuLAn can hold comes out equal, everything else is refused unexecuted."""

import io
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from decoupage.faults import BadItem
from pipelines.foregrounds.mulan.stand_ins import Picture
from pipelines.foregrounds.mulan.unpickle import unpickle

PROTOCOLS = st.integers(2, 5)
DTYPES = st.sampled_from(["bool", "uint8", "int16", "int32", "int64", "float16", "float32", "float64", ">i4", ">f8"])
MAX_BYTES = 1 << 20


class Calls:
    """Pickles to a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def reason_of(data: bytes, max_bytes: int = MAX_BYTES) -> tuple[str, str]:
    with pytest.raises(BadItem) as fault:
        unpickle(data, max_bytes)
    return fault.value.reason, fault.value.detail


@given(DTYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(max_dims=4, max_side=5))), PROTOCOLS, st.booleans())
def test_arrays_come_out_equal(array: np.ndarray, protocol: int, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    found = unpickle(pickle.dumps({"a": array}, protocol), MAX_BYTES)["a"]
    assert found.shape == array.shape and found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


@given(PROTOCOLS)
def test_arrays_with_permuted_axes_come_out_equal(protocol: int) -> None:
    array = np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)
    assert (unpickle(pickle.dumps(array, protocol), MAX_BYTES) == array).all()


@given(PROTOCOLS, st.sampled_from(["1", "L", "LA", "RGB", "RGBA"]), st.integers(1, 20), st.integers(1, 20))
def test_pictures_come_out_with_their_bytes(protocol: int, mode: str, width: int, height: int) -> None:
    picture = Image.effect_noise((width, height), 90).convert(mode)
    found = unpickle(pickle.dumps(picture, protocol), MAX_BYTES)
    assert (found.mode, found.size, bytes(found.data)) == (mode, (width, height), picture.tobytes())


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_freshly_opened_picture_file_is_a_picture(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4, 3), 200).save(buffer, kind)
    found = unpickle(pickle.dumps(Image.open(buffer)), MAX_BYTES)
    assert isinstance(found, Picture) and found.size == (4, 3) and set(found.data) == {200}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(-(2**62), 2**62), inner)
        ),
        max_leaves=7,
    ),
    PROTOCOLS,
)
def test_plain_values_come_out_equal(value: Any, protocol: int) -> None:
    assert unpickle(pickle.dumps(value, protocol), MAX_BYTES) == value


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_both_generations_of_numpy_are_read(core: str) -> None:
    data = pickle.dumps([np.arange(3), np.float32(1.5)], 2)
    assert b"numpy._core." in data
    found = unpickle(data.replace(b"numpy._core.", core.encode() + b"."), MAX_BYTES)
    assert found[0].tolist() == [0, 1, 2] and found[1] == 1.5


@pytest.mark.parametrize("protocol", range(6))
def test_a_forbidden_name_is_not_executed(tmp_path: Path, protocol: int) -> None:
    sentinel = tmp_path / "executed"
    reason, detail = reason_of(pickle.dumps(Calls(os.system, f"touch {sentinel}"), protocol))
    assert reason == "forbidden_pickle" and f"{os.system.__module__}.system" in detail
    assert not sentinel.exists()


@pytest.mark.parametrize("value", [OrderedDict(a=1), Path("x"), np.random.default_rng(0), Calls(eval, "1")])
def test_other_names_are_refused(value: Any) -> None:
    assert reason_of(pickle.dumps(value))[0] == "forbidden_pickle"


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_object_arrays_are_refused(protocol: int) -> None:
    assert reason_of(pickle.dumps(np.array([{}, "x"], object), protocol))[0] == "object_array"


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6)])
def test_an_array_of_absurd_size_is_too_large(protocol: int, shape: tuple[int, ...]) -> None:
    assert reason_of(pickle.dumps(Calls(np.ndarray, shape), protocol))[0] == "too_large"


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", np.array(["text"]), np.array([1j]), (1, {"a": b""})])
def test_values_that_no_annotation_has_are_refused(value: Any) -> None:
    assert reason_of(pickle.dumps(value))[0] == "bad_pickle"


def _opcodes(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_opcodes(b"]" * 100_000), "opcodes"),  # 64 bytes of memory for each byte of pickle
        (_opcodes(b"]r" + struct.pack("<I", 2**31)), "memo slot"),  # 32 GB for the memo
        (_opcodes(b"]p999999999\n"), "memo slot"),
        (_opcodes(b"\x95" + struct.pack("<Q", 2**40) + b"N"), "frame"),
        (_opcodes(b"\x95" + struct.pack("<Q", 2**22) + b"N" * 2**22), "frame"),
        (_opcodes(b"\x8e" + struct.pack("<Q", 2**40) + b"x"), "reaches to"),
        (_opcodes(b"\x8b" + struct.pack("<i", 1 << 14) + b"\x01" * (1 << 14)), "number"),
        (_opcodes(b"X" + struct.pack("<I", 100_004) + b"a" * 100_000 + "\U0001f600".encode()), "above U+00FF"),
        (_opcodes(b"cnumpy\nndarray\n}" + b"(X\x01\x00\x00\x00aK\x01ub"), "state"),
        (_opcodes(b"c_codecs\nencode\n}" + b"(X\x01\x00\x00\x00aK\x01ub"), "state"),
    ],
)
def test_opcode_bombs_are_refused(data: bytes, words: str) -> None:
    reason, detail = reason_of(data)
    assert reason == "bad_pickle" and words in detail


ENDLESS = b")" + b"2\x86" * 64
"""A tuple that holds one twice, which holds one twice, ...: its hash is made of 2^64 hashes."""


@pytest.mark.parametrize(
    "data",
    [
        _opcodes(b"(", ENDLESS, b"\x91"),  # a frozenset
        _opcodes(b"\x8f(", ENDLESS, b"\x90"),  # a set
        _opcodes(b"}", ENDLESS, b"Ns"),
        _opcodes(b"}(", ENDLESS, b"Nu"),
        _opcodes(b"(", ENDLESS, b"Nd"),
        _opcodes(b"}", ENDLESS, b"\x940h\x00Ns"),  # by way of the memo
        _opcodes(b"}(X\x01\x00\x00\x00aN", ENDLESS, b"Nu"),
        _opcodes(b"}", ENDLESS, b"\x85Ns"),
        pickle.dumps({10**9001: 1}),
        pickle.dumps({2**63: 1}),
        pickle.dumps({"x" * 201: 1}),
        pickle.dumps({None: 1}),
        pickle.dumps({1.5: 1}),
        pickle.dumps({True: 1}),
    ],
)
def test_keys_are_text_or_numbers_and_nothing_else_is_hashed(data: bytes) -> None:
    reason, detail = reason_of(data)
    assert reason == "bad_pickle" and ("a key" in detail or "a set" in detail)


@pytest.mark.parametrize(
    "data",
    [
        _opcodes(b"\x8d" + struct.pack("<Q", 2**30) + b"x"),
        b"\x80\x02X" + struct.pack("<I", 2**30) + b"x.",
        _opcodes(b"L" + b"9" * 5000 + b"L\n"),
        _opcodes(b"]" * 9000 + b"a" * 8999),
        _opcodes(b"\x96" + struct.pack("<Q", 2) + b"ab\x940h\x00cnumpy\nndarray\n\x93"),
        pickle.dumps(np.zeros(2, [("a", "i4"), ("b", "f8")])),
        pickle.dumps(np.zeros(2, "M8[s]")),
    ],
)
def test_claims_of_size_depth_and_type_are_refused(data: bytes) -> None:
    assert reason_of(data)[0] == "bad_pickle"


def test_an_array_is_a_view_of_bytes_that_are_there() -> None:
    data = pickle.dumps(np.zeros((7, 9), np.uint8), 2).replace(b"K\x07K\t", b"M\xff\xffM\xff\xff")
    assert reason_of(data)[0] == "bad_pickle"
    backwards = np.arange(6, dtype=np.int16)[::-1]
    assert (unpickle(pickle.dumps(backwards, 5), MAX_BYTES) == backwards).all()


def test_shared_lists_do_not_explode() -> None:
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    assert reason_of(pickle.dumps(value))[0] == "bad_pickle"


def test_a_cycle_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    assert reason_of(pickle.dumps(value))[0] == "bad_pickle"


def test_one_array_shared_by_many_counts_each_time() -> None:
    array = np.zeros(100_000, np.uint8)
    assert len(unpickle(pickle.dumps([array] * 10), 1_000_000)) == 10
    assert reason_of(pickle.dumps([array] * 11), 1_000_000)[0] == "too_large"


def test_copies_are_bounded() -> None:
    text = "a" * 100_000
    import _codecs

    data = pickle.dumps([Calls(_codecs.encode, text, "latin1") for _ in range(12)], 4)
    assert len(data) < 110_000
    assert reason_of(data, 1_000_000)[0] == "too_large"


@pytest.mark.parametrize("opcode", [b"P0\n", b"NQ", b"\x82\x01", b"(ios\nsystem\n"])
def test_persistent_ids_extensions_and_old_instances_are_refused(opcode: bytes) -> None:
    assert reason_of(_opcodes(opcode))[0] == "forbidden_pickle"


def test_bytes_after_the_end_are_refused() -> None:
    assert reason_of(pickle.dumps(1) + b"x")[0] == "trailing_data"


WHOLE = pickle.dumps({"a": np.arange(6.0).reshape(2, 3), "b": [1, "x"], "c": Image.new("L", (3, 2))}, 4)


def harmless(data: bytes) -> bool:
    """True when the bytes give plain values or a reason; any other exception goes through and fails the test."""
    try:
        found = unpickle(data, MAX_BYTES)
    except BadItem as fault:
        return bool(fault.reason and fault.detail)
    return found is None or isinstance(found, PLAIN)


PLAIN = (bool, int, float, str, list, tuple, dict, bytes, bytearray, np.ndarray, np.generic, Image.Image)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.booleans())
def test_damage_is_a_bad_item_and_nothing_else(position: int, value: int, cut: bool) -> None:
    data = WHOLE[:position] if cut else WHOLE[:position] + bytes([value]) + WHOLE[position + 1 :]
    assert harmless(data)


@given(st.binary(max_size=200))
def test_noise_is_a_bad_item_and_nothing_else(data: bytes) -> None:
    assert harmless(b"\x80\x04" + data)
