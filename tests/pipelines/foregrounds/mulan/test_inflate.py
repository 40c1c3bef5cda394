"""Reading zlib files: whole ones come out, damaged and oversized ones are named for what they are."""

import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadItem
from pipelines.foregrounds.mulan.reader import inflate

CONTENT = os.urandom(3_000_000)


def reason_of(path: Path, data: bytes, max_bytes: int = 1_000_000) -> str:
    path.write_bytes(data)
    with pytest.raises(BadItem) as fault:
        inflate(path, max_bytes)
    return fault.value.reason


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_whole_files_come_out(tmp_path: Path, level: int, size: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(zlib.compress(CONTENT[:size], level))
    assert inflate(path, 3_000_000) == CONTENT[:size]


def test_the_bound_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(zlib.compress(bytes(1000)))
    assert inflate(path, 1000) == bytes(1000)
    assert reason_of(path, zlib.compress(bytes(1001)), 1000) == "too_large"


def test_a_bomb_is_too_large(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "a", zlib.compress(bytes(50_000_000))) == "too_large"


@pytest.mark.parametrize("data", [b"PK\x03\x04zip", b"\x1f\x8b\x08gzip", b"\x80\x04plain pickle", b"\x78\x00"])
def test_other_files_are_not_zlib(tmp_path: Path, data: bytes) -> None:
    assert reason_of(tmp_path / "a", data) == "not_zlib"


@given(st.integers(0, len(zlib.compress(CONTENT[:2000])) - 1))
def test_every_cut_is_truncated(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    data = zlib.compress(CONTENT[:2000])
    assert reason_of(tmp_path_factory.getbasetemp() / "cut", data[:length]) == "truncated"


def test_trailing_data_and_damage_are_named(tmp_path: Path) -> None:
    whole = zlib.compress(CONTENT[:2000])
    assert reason_of(tmp_path / "a", whole + b"x") == "trailing_data"
    assert reason_of(tmp_path / "a", whole + whole) == "trailing_data"
    assert reason_of(tmp_path / "a", whole[:-1] + bytes([whole[-1] ^ 1])) == "bad_zlib"


def test_trailing_data_beyond_the_read_buffer_is_seen(tmp_path: Path) -> None:
    whole = zlib.compress(CONTENT[: (1 << 20) - 500], 0)
    pad = (1 << 20) - len(whole)
    exact = zlib.compress(CONTENT[: (1 << 20) - 500 + pad], 0)
    assert reason_of(tmp_path / "a", exact + b"x", 3_000_000) == "trailing_data"
