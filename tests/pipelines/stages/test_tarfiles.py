"""The archives are what Python's own tarfile reads, and their bytes depend on the members only."""

import hashlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.tarfiles import BLOCK, TarWriter, header

names = st.from_regex(r"[0-9a-z_]{1,40}\.[a-z0-9.]{1,20}", fullmatch=True)
archives = st.lists(st.tuples(names, st.binary(max_size=2000)), max_size=8, unique_by=lambda member: member[0])


def write(members: list[tuple[str, bytes]]) -> tuple[bytes, TarWriter, str]:
    buffer = io.BytesIO()
    tar = TarWriter(buffer)
    for name, data in members:
        tar.add(name, data)
    sha256 = tar.finish()
    return buffer.getvalue(), tar, sha256


@given(archives)
def test_tarfile_reads_what_went_in(members):
    data, _, _ = write(members)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        assert [(info.name, tar.extractfile(info).read()) for info in tar] == members


@given(archives)
def test_the_table_says_where_each_member_lies(members):
    data, tar, sha256 = write(members)
    assert tar.num_bytes == len(data)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert len(data) % BLOCK == 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as reader:
        assert [member.offset for member in tar.members] == [info.offset_data for info in reader]
    for (name, content), member in zip(members, tar.members, strict=True):
        assert member.name == name
        assert data[member.offset : member.offset + member.num_bytes] == content
        assert member.sha256 == hashlib.sha256(content).hexdigest()


@given(archives)
def test_equal_members_give_equal_bytes(members):
    assert write(members)[0] == write(members)[0]


def test_order_matters():
    one, two = ("a.txt", b"1"), ("b.txt", b"2")
    assert write([one, two])[0] != write([two, one])[0]


def test_headers_hold_no_time_and_no_owner():
    info = tarfile.TarInfo.frombuf(header("a.txt", 3), "utf-8", "strict")
    assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
    assert info.isreg()
    assert info.mode == 0o644


@pytest.mark.parametrize("num_bytes", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_members_end_on_block_borders(num_bytes):
    data, tar, _ = write([("a", b"x" * num_bytes), ("b", b"y")])
    assert tar.members[1].offset % BLOCK == 0
    assert data[tar.members[1].offset : tar.members[1].offset + 1] == b"y"


def test_a_name_beyond_ustar_is_refused():
    assert len(header("x" * 100, 0)) == BLOCK
    with pytest.raises(ValueError, match="name"):
        header("x" * 101, 0)


def test_webdataset_groups_the_members_by_key(tmp_path):
    import webdataset

    path = tmp_path / "00000.tar"
    path.write_bytes(write([("000.a.txt", b"1"), ("000.json", b"{}"), ("001.json", b"[]")])[0])
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["000", "001"]
    assert samples[0]["a.txt"] == b"1"
