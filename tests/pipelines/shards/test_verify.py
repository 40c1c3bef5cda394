"""Verification finds any damaged byte and names the member it is in."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from pipelines.shards.verify import verify
from pipelines.stages.manifest import Manifest, read_manifest
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import BLOCK
from pipelines.synthetic import FakeScenes, build_dataset

SHARD = "00000"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One undamaged shard that no test changes."""
    return build_dataset(tmp_path_factory.mktemp("whole"), FakeScenes(num_scenes=3, scenes_per_shard=3))


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to damage."""
    shutil.copytree(f"{whole.root}/shards", tmp_path / "shards")
    return tmp_path / "shards"


def padded_end(member) -> int:
    return member.offset + -(-member.num_bytes // BLOCK) * BLOCK


def expected_place(manifest: Manifest, position: int) -> str:
    for member in manifest.members:
        if position < member.offset:
            return f"header of {member.name}"
        if position < member.offset + member.num_bytes:
            return member.name
        if position < padded_end(member):
            return f"padding of {member.name}"
    return "end of archive"


def flipped(path: Path, position: int, mask: int):
    """Change one byte of a file; returns what undoes it."""
    data = path.read_bytes()
    path.write_bytes(data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :])
    return lambda: path.write_bytes(data)


def test_whole_shards_have_no_faults(whole):
    report = verify([whole.root])
    assert (report.ok, report.faults, report.notes) == (True, [], [])
    assert (report.num_shards, report.num_scenes, report.num_layers) == (1, 3, 6)
    assert report.num_bytes == Path(f"{whole.root}/shards/00000.tar").stat().st_size
    assert report.to_dict()["ok"] is True


@pytest.mark.parametrize("path", ["", "/shards", "/shards/", "/shards/00000.tar", "/scenes", "/depth"])
def test_any_way_to_name_shards(whole, path):
    assert verify([whole.root + path]).ok


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_of_the_tar_is_found_in_its_member(whole, data):
    path = Path(f"{whole.root}/shards/{SHARD}.tar")
    manifest = read_manifest(whole, "shards", SHARD)
    # Members are chosen first, so that small ones, headers and padding have their share.
    start, end = data.draw(st.sampled_from(regions(manifest)))
    position = data.draw(st.integers(start, end - 1))
    undo = flipped(path, position, data.draw(st.integers(1, 255)))
    try:
        report = verify([whole.root])
    finally:
        undo()
    assert [fault.member for fault in report.faults] == [expected_place(manifest, position)]
    assert report.faults[0].shard == SHARD


def regions(manifest: Manifest) -> list[tuple[int, int]]:
    found = [(manifest.num_bytes - 2 * BLOCK, manifest.num_bytes)]
    for member in manifest.members:
        data_end = member.offset + member.num_bytes
        found += [(member.offset - BLOCK, member.offset), (member.offset, data_end), (data_end, padded_end(member))]
    return [(start, end) for start, end in found if start < end]


@given(st.sampled_from(["parquet", "json"]), st.data())
@settings(max_examples=120, deadline=None)
def test_a_changed_byte_of_index_or_manifest_is_found(whole, suffix, data):
    path = Path(f"{whole.root}/shards/{SHARD}.{suffix}")
    position = data.draw(st.integers(0, path.stat().st_size - 1))
    undo = flipped(path, position, data.draw(st.integers(1, 255)))
    try:
        report = verify([whole.root])
    finally:
        undo()
    assert [fault.member for fault in report.faults] == [f"{SHARD}.{suffix}"]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_without_a_manifest_changed_structure_is_still_found(whole, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bare")
    path = folder / "00000.tar"
    shutil.copy(f"{whole.root}/shards/00000.tar", path)
    manifest = read_manifest(whole, "shards", SHARD)
    kinds = [member for member in manifest.members if member.name.endswith(".json")]
    member = data.draw(st.sampled_from(kinds))
    position = data.draw(st.integers(member.offset - BLOCK, padded_end(member) - 1))
    flipped(path, position, data.draw(st.integers(1, 255)))
    damage = [fault for fault in verify([str(path)]).faults if fault.kind != "missing_file"]
    in_data = member.offset <= position < member.offset + member.num_bytes
    if not in_data:
        assert damage
    # A changed letter of an attribution cannot be told without the manifest; what is told must be in this scene.
    key = member.name.partition(".")[0]
    before = manifest.members[manifest.members.index(member) - 1].name
    assert all(key in fault.member or before in fault.member for fault in damage)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_cut_tar_names_the_first_member_that_is_not_whole(whole, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    manifest = read_manifest(whole, "shards", SHARD)
    length = data.draw(st.integers(0, manifest.num_bytes - 1))
    for suffix in ("tar", "parquet", "json"):
        shutil.copy(f"{whole.root}/shards/00000.{suffix}", folder)
    with (folder / "00000.tar").open("r+b") as file:
        file.truncate(length)
    faults = verify([str(folder)]).faults
    cut = next((m.name for m in manifest.members if m.offset + m.num_bytes > length), "end of archive")
    assert [(fault.member, fault.kind) for fault in faults] == [(cut, "truncated")]


@pytest.mark.parametrize("suffix", ["tar", "parquet", "json"])
def test_a_missing_file_is_named(folder, suffix):
    (folder / f"{SHARD}.{suffix}").unlink()
    faults = verify([str(folder)]).faults
    assert [(fault.member, fault.kind) for fault in faults] == [(f"{SHARD}.{suffix}", "missing_file")]


def test_bytes_after_the_end_are_found(folder):
    with (folder / "00000.tar").open("ab") as file:
        file.write(b"more")
    faults = verify([str(folder)]).faults
    assert [(fault.member, fault.kind) for fault in faults] == [("end of archive", "trailing_bytes")]


def test_a_tar_that_is_none_is_told_without_a_crash(tmp_path):
    (tmp_path / "00000.tar").write_bytes(b"no tar at all" * 1000)
    kinds = {(fault.member, fault.kind) for fault in verify([str(tmp_path)]).faults}
    assert ("first header", "header") in kinds


def test_unfinished_files_and_gaps_are_notes(folder):
    (folder / ".00001.tar.host.123.tmp").write_bytes(b"half")
    for suffix in ("tar", "parquet", "json"):
        shutil.copy(folder / f"00000.{suffix}", folder / f"00002.{suffix}")
    report = verify([str(folder)])
    assert [note.split(": ")[1] for note in report.notes] == [
        ".00001.tar.host.123.tmp is unfinished; the next run removes it",
        "there is no shard 00001",
    ]


def test_a_copied_shard_repeats_its_keys(folder):
    for suffix in ("tar", "parquet", "json"):
        shutil.copy(folder / f"00000.{suffix}", folder / f"00001.{suffix}")
    faults = verify([str(folder)]).faults
    assert {fault.shard for fault in faults} == {"00001"}
    kinds = [(fault.member, fault.kind) for fault in faults]
    assert ("00001.json", "wrong_shard") in kinds
    assert ("00000002", "repeated_key") in kinds


def test_shards_of_two_recipes_do_not_mix(folder, tmp_path):
    other = build_dataset(tmp_path / "other", FakeScenes(num_scenes=4, scenes_per_shard=2, seed=5))
    for suffix in ("tar", "parquet", "json"):
        shutil.copy(f"{other.root}/shards/00001.{suffix}", folder / f"00001.{suffix}")
    faults = verify([str(folder)]).faults
    assert ("00001", "00001.json", "fingerprint") in [(fault.shard, fault.member, fault.kind) for fault in faults]
    (folder / "recipe.json").unlink()
    assert [fault.kind for fault in verify([str(folder)]).faults if fault.shard == "00001"].count("fingerprint") == 1


def test_a_changed_recipe_is_found(folder):
    path = folder / "recipe.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 99'))
    faults = verify([str(folder)]).faults
    assert [(fault.member, fault.kind) for fault in faults] == [("recipe.json", "fingerprint")]
    path.write_text("{")
    assert [fault.kind for fault in verify([str(folder)]).faults] == ["bad_json"]


def test_faults_say_where_they_are(folder):
    (folder / "00000.parquet").unlink()
    assert str(verify([str(folder)]).faults[0]) == f"{folder}/00000: 00000.parquet: missing_file: is not there"


def test_nothing_to_verify_is_wrong_use(tmp_path):
    with pytest.raises(BadSetup, match="there is no folder"):
        verify([str(tmp_path / "nowhere")])
    with pytest.raises(BadSetup, match=r"there is no .*00000\.tar"):
        verify([str(tmp_path / "00000.tar")])
    with pytest.raises(BadSetup, match="holds no shards"):
        verify([str(tmp_path)])


def test_an_object_store_is_verified_alike():
    store = build_dataset("memory://to-verify", FakeScenes(num_scenes=2))
    assert verify(["memory://to-verify"]).ok
    data = bytearray(store.read("shards/00000.tar"))
    data[BLOCK + 3] ^= 1
    Store("memory://to-verify").write("shards/00000.tar", bytes(data))
    assert [fault.member for fault in verify(["memory://to-verify"]).faults] == ["00000000.background.jpg"]
