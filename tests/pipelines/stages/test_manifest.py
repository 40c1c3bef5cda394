"""A manifest comes back as it went in, and any damage to it is seen."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from pipelines.stages.manifest import Manifest, read_manifest
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import Member

text = st.text(max_size=12)
counts = st.dictionaries(text, st.integers(0, 2**40), max_size=3)
manifests = st.builds(
    Manifest,
    stage=text,
    shard=text,
    fingerprint=text,
    inputs=st.dictionaries(text, text, max_size=3),
    num_items=st.integers(0, 1000),
    num_rows=st.integers(0, 1000),
    num_bytes=st.integers(0, 2**40),
    tar_sha256=text,
    parquet_sha256=text,
    members=st.lists(st.builds(Member, text, st.integers(0, 2**40), st.integers(0, 2**30), text), max_size=3),
    drops=st.lists(st.fixed_dictionaries({"id": text, "reason": text, "detail": text}), max_size=2),
    counts=counts,
    seconds=st.floats(0, 1e6),
)
EXAMPLE = Manifest(
    stage="scenes",
    shard="00003",
    fingerprint="0123456789abcdef",
    inputs={"foregrounds": "aa"},
    num_items=1,
    num_rows=2,
    num_bytes=1536,
    tar_sha256="bb",
    parquet_sha256="cc",
    members=[Member("0.json", 512, 2, "dd")],
    drops=[{"id": "7", "reason": "truncated", "detail": "ends after 10 bytes"}],
    counts={"attempts": 3},
    seconds=0.25,
)


@given(manifests)
def test_round_trip(manifest):
    assert Manifest.from_json(manifest.to_json()) == manifest


@given(st.integers(0, len(EXAMPLE.to_json()) - 1), st.integers(1, 255))
def test_one_changed_byte_is_refused(position, change):
    data = bytearray(EXAMPLE.to_json())
    data[position] ^= change
    with pytest.raises(ValueError, match=r"."):
        Manifest.from_json(bytes(data))


@given(st.integers(0, len(EXAMPLE.to_json()) - 1))
def test_a_cut_off_manifest_is_refused(num_bytes):
    with pytest.raises(ValueError, match=r"."):
        Manifest.from_json(EXAMPLE.to_json()[:num_bytes])


def test_spare_space_is_refused():
    with pytest.raises(ValueError, match="manifest_sha256"):
        Manifest.from_json(EXAMPLE.to_json() + b"\n")


@pytest.mark.parametrize("data", [b"[]", b"null", b"3", b"{}", b'{"a":1}'])
def test_other_json_is_refused(data):
    with pytest.raises(ValueError, match="manifest"):
        Manifest.from_json(data)


def test_the_file_is_plain_json_for_other_tools():
    body = json.loads(EXAMPLE.to_json())
    assert body["members"] == [["0.json", 512, 2, "dd"]]
    assert body["drops"][0]["reason"] == "truncated"


def test_an_absent_shard_has_no_manifest(tmp_path):
    assert read_manifest(Store(str(tmp_path)), "scenes", "00003") is None


def test_reading_from_a_store(tmp_path):
    store = Store(str(tmp_path))
    store.write("scenes/00003.json", EXAMPLE.to_json())
    assert read_manifest(store, "scenes", "00003") == EXAMPLE


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data.replace(b"1536", b"1537"), lambda _: b""])
def test_a_damaged_manifest_is_named_with_the_way_out(tmp_path, damage):
    store = Store(str(tmp_path))
    store.write("scenes/00003.json", damage(EXAMPLE.to_json()))
    with pytest.raises(BadSetup, match=r"scenes/00003\.json is damaged .*; remove it to rebuild the shard"):
        read_manifest(store, "scenes", "00003")
