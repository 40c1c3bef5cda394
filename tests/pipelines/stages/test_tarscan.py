"""The members of a tar of any origin: the same as tarfile finds, and nothing of what a hostile one asks for."""

import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.tarfiles import TarWriter
from pipelines.stages.tarscan import Entry, scan


def packed(*members: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for info, data in members:
            info.size = len(data) or info.size
            tar.addfile(info, io.BytesIO(data) if data else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def entries(data: bytes) -> list[Entry]:
    return list(scan(io.BytesIO(data), len(data)))


def test_our_own_tars():
    buffer = io.BytesIO()
    writer = TarWriter(buffer)
    writer.add("a.json", b"{}")
    writer.add("a.empty", b"")
    writer.finish()
    assert entries(buffer.getvalue()) == [Entry("a.json", "file", 512, 2), Entry("a.empty", "file", 1536, 0)]


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_of_both_formats(kind):
    names = ["short", "x" * 150, "é" * 90, "deep/" * 40 + "file"]
    data = packed(
        *((member(name, mtime=1.5 if kind == tarfile.PAX_FORMAT else 1), b"data") for name in names), kind=kind
    )
    assert [entry.name for entry in entries(data)] == names
    assert [data[e.offset : e.offset + e.num_bytes] for e in entries(data)] == [b"data"] * 4


def test_what_is_no_file_is_told():
    data = packed(
        (member("d", tarfile.DIRTYPE), b""),
        (member("s", tarfile.SYMTYPE, linkname="/etc/passwd"), b""),
        (member("h", tarfile.LNKTYPE, linkname="a"), b""),
        (member("n", tarfile.CHRTYPE), b""),
        (member("p", tarfile.FIFOTYPE), b""),
        (member("f"), b"data"),
    )
    assert [(entry.name, entry.kind) for entry in entries(data)] == [
        *(("d", "folder"), ("s", "link"), ("h", "link"), ("n", "device"), ("p", "device"), ("f", "file"))
    ]


def test_a_sparse_member_asks_for_nothing():
    """2 kB that `tarfile` would expand to 60 GB: old and new form."""
    old = member("big", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT)
    old = bytearray(old)
    old[386:398], old[398:410] = b"00000000000\0", b"00000000000\0"
    old[483:495] = b"\x80" + (60 << 30).to_bytes(11, "big")
    old[148:156] = b"%06o\0 " % (sum(old[:148]) + 256 + sum(old[156:]))
    new = packed(
        (member("big", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.realsize": str(60 << 30)}), b"0\n"),
        kind=tarfile.PAX_FORMAT,
    )
    for data in (bytes(old) + bytes(1024), new):
        (entry,) = entries(data)
        assert entry.kind == "sparse" and entry.num_bytes < 512


def test_sizes_are_not_believed():
    for size in (-1, -(1 << 40), 1 << 40, 1 << 62):
        info = member("a")
        info.size = size
        with pytest.raises(tarfile.ReadError, match="'a'"):
            entries(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    for size in ("9" * 9001, "-5", "1e9", str(10**14)):
        with pytest.raises(tarfile.ReadError, match="'a'"):
            entries(packed((member("a", pax_headers={"size": size}), b"data"), kind=tarfile.PAX_FORMAT))


def test_a_huge_extended_header_is_not_read():
    data = packed((member("a", pax_headers={"comment": "x" * 200_000}), b"data"), kind=tarfile.PAX_FORMAT)
    with pytest.raises(tarfile.ReadError, match="extended header has 2000"):
        entries(data)


def test_a_cut_tar_is_told_after_what_is_whole():
    data = packed((member("a"), b"x" * 600), (member("b"), b"y" * 600))
    for length in (1536, 2000, 2048 + 500):
        found = scan(io.BytesIO(data[:length]), length)
        assert next(found).name == "a"
        with pytest.raises(tarfile.ReadError, match="cut off"):
            next(found)


@given(st.data())
def test_any_damage_is_listed_or_told(data):
    whole = bytearray(
        packed(
            (member("a.json", mtime=1.5), b"{}" * 400),
            (member("é" * 80), b"x"),
            (member("l", tarfile.SYMTYPE, linkname="y" * 120), b""),
            kind=data.draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])),
        )
    )
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # Checksums that are right let damage through to what follows.
        for start in range(0, len(whole) - 511, 512):
            block = whole[start : start + 512]
            whole[start + 148 : start + 156] = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))
    with suppress(tarfile.ReadError):
        for entry in entries(bytes(whole)):
            assert 0 <= entry.offset <= entry.offset + entry.num_bytes <= len(whole)
