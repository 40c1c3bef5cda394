"""Shards that somebody made up: whatever they hold is a fault with its place, and the others are looked at."""

import hashlib
import io
import json
import os
import shutil
import struct
import tarfile
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from commands.main import app
from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import canonical_json
from pipelines.shards.export import export_folder
from pipelines.shards.faults import Fault
from pipelines.shards.reader import read_scenes, read_triplets
from pipelines.shards.verify import verify
from pipelines.stages.manifest import Manifest, read_manifest
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import Member, TarWriter
from pipelines.synthetic import FakeScenes, build_dataset
from tests.pipelines.shards.test_content import forge
from training.data.index import open_index

KEY = "00000002"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Store:
    return build_dataset(tmp_path_factory.mktemp("whole"), FakeScenes(num_scenes=4, scenes_per_shard=4))


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Store:
    """Two shards: the first is spoiled, the second must be looked at."""
    return build_dataset(tmp_path_factory.mktemp("two"), FakeScenes(num_scenes=4, scenes_per_shard=2))


@pytest.fixture
def copy(two, tmp_path) -> Store:
    return Store(str(shutil.copytree(two.root, tmp_path / "copy")))


def members_of(store: Store) -> list[tuple[str, bytes]]:
    return [(f"{key}.{suffix}", data) for key, found in read_scenes(store) for suffix, data in found.items()]


def written(path: Path, members: list[tuple[str, bytes]], **options) -> str:
    with tarfile.open(path, "w", **options) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def exported(path: str, out: Path) -> tuple[set[str], list[Fault]]:
    faults: list[Fault] = []
    number = export_folder(path, str(out), faults)
    there = {folder.name for folder in out.iterdir()}
    assert number == len(there) and all((out / name / "sample.json").is_file() for name in there)
    return there, faults


ALL = {"00000000-0", "00000001-0", "00000001-1", "00000002-0", "00000002-1", "00000002-2", "00000003-0"}


# ---- what other programs make of a tar


def test_names_that_begin_with_a_point_in_any_order(whole, tmp_path):
    members = [(f"./{name}", data) for name, data in members_of(whole)]
    path = written(tmp_path / "00000.tar", sorted(members, key=lambda pair: hashlib.sha256(pair[0].encode()).digest()))
    with tarfile.open(path, "a") as tar:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    assert exported(path, tmp_path / "out") == (ALL, [])


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_what_macos_adds_is_skipped(whole, tmp_path, kind):
    members = members_of(whole)
    extra = [(f"._{name}", b"\0\5\26\7") for name, _ in members[:5]] + [(f"./._{name}", b"\0") for name, _ in members]
    path = written(tmp_path / "00000.tar", [*extra, *members], format=kind)
    assert exported(path, tmp_path / "out") == (ALL, [])
    report = verify([path])
    assert not report.ok and report.num_scenes == 4


# ---- damage


@pytest.mark.parametrize(
    ("suffix", "data", "lost", "kind"),
    [
        ("layer1.webp", b"no picture", {"0", "1", "2"}, "bad_image"),
        ("background.jpg", None, {"0", "1", "2"}, "missing_member"),
        ("mask0.png", None, {"0"}, "missing_member"),
        ("mask2.png", b"", {"2"}, "bad_image"),
        ("json", None, {"0", "1", "2"}, "missing_member"),
        ("json", b"{", {"0", "1", "2"}, "bad_json"),
        ("json", b'{"layers": 3}', {"0", "1", "2"}, "bad_json"),
        ("json", b'{"layers": []}', {"0", "1", "2"}, "bad_json"),
        ("json", b'{"layers": [{"box": [0, 0, 1e9, 3]}]}', {"0", "1", "2"}, "bad_json"),
        ("json", b'{"layers": [{"box": "\\ud800"}]}', {"0", "1", "2"}, "bad_text"),
        ("json", b"9" * 9001, {"0", "1", "2"}, "bad_json"),
        ("json", b"[" * 100_000, {"0", "1", "2"}, "bad_json"),
        ("depth.png", b"no picture", set(), "bad_image"),
    ],
)
def test_a_damaged_scene_is_told_and_the_others_are_exported(whole, tmp_path, suffix, data, lost, kind):
    found = dict(members_of(whole))
    found.pop(f"{KEY}.{suffix}")
    if data is not None:
        found[f"{KEY}.{suffix}"] = data
    path = written(tmp_path / "00000.tar", list(found.items()))
    there, faults = exported(path, tmp_path / "out")
    assert there == ALL - {f"{KEY}-{layer}" for layer in lost}
    assert [(fault.shard, fault.member, fault.kind) for fault in faults] == [("00000", KEY, kind)]
    assert suffix in faults[0].detail
    with pytest.raises(BadItem, match=rf"00000\.tar: .*{KEY}\.{suffix}"):
        list(read_triplets(path))
    assert not verify([path]).ok


def test_the_command_names_shard_and_member_and_leaves_with_1(whole, tmp_path):
    found = dict(members_of(whole))
    del found[f"{KEY}.mask0.png"]
    path = written(tmp_path / "00000.tar", list(found.items()))
    run = CliRunner().invoke(app, ["shards", "export", path, str(tmp_path / "out")])
    assert run.exit_code == 1 and run.exception.__class__ is SystemExit
    assert f"/00000: {KEY}: missing_member: {KEY}.mask0.png is not there" in run.output
    assert f"6 triplets in {tmp_path}/out, 1 faults" in run.output


def test_a_cut_tar_gives_what_came_before(whole, tmp_path):
    path = Path(written(tmp_path / "00000.tar", members_of(whole)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    there, faults = exported(str(path), tmp_path / "out")
    assert {"00000000-0"} <= there < ALL
    assert ("tar", "damaged_tar") in [(fault.member, fault.kind) for fault in faults]


# ---- names


HOSTILE_KEYS = [
    *(
        "/etc/x",
        "../x",
        "..",
        "a/../../x",
        "",
        "x" * 65,
        "9" * 9001,
        "a b",
        "é",
        "a\nb",
        "a\x1b[2K",
        "a\\b",
        "~",
        "a:b",
    ),
    "\udce9",
]


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
def test_a_key_that_is_none_is_a_fault_and_writes_nowhere(whole, tmp_path, key):
    outside = tmp_path / "x-0"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    name = key.replace("/etc/x", str(tmp_path / "x"))
    renamed = [
        (n.replace(KEY, name), d.replace(KEY.encode(), name.encode("utf-8", "surrogateescape")))
        for n, d in members_of(whole)
        if n.startswith(KEY)
    ]
    others = [pair for pair in members_of(whole) if not pair[0].startswith(KEY)]
    path = written(tmp_path / "00000.tar", [*renamed, *others], errors="surrogateescape")
    there, faults = exported(path, tmp_path / "out")
    assert there == {name for name in ALL if not name.startswith(KEY)}
    assert {fault.kind for fault in faults} == {"bad_name"} and len(faults) == len(renamed)
    assert all(str(fault).isprintable() for fault in faults)
    assert (outside / "mine.txt").read_text() == "mine"
    assert {entry.name for entry in tmp_path.iterdir()} == {"x-0", "out", "00000.tar"}
    assert all(str(fault).isprintable() for fault in verify([path]).faults)


def test_an_export_replaces_its_own_samples_and_nothing_else(whole, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "sample.json").write_text("mine")
    out.mkdir()
    (out / "00000000-0").symlink_to(tmp_path / "elsewhere")
    (out / "00000001-0").mkdir()
    (out / "00000001-0" / "mine.txt").write_text("mine")
    (out / "00000001-1").write_text("mine")
    (out / ".00000002-0.new.tmp").symlink_to(tmp_path / "elsewhere")
    faults: list[Fault] = []
    assert export_folder(whole.root, str(out), faults) == 3
    assert {fault.kind for fault in faults} == {"in_the_way"} and len(faults) == 4
    assert (tmp_path / "elsewhere" / "sample.json").read_text() == "mine"
    assert (out / "00000001-0" / "mine.txt").read_text() == "mine" == (out / "00000001-1").read_text()
    with pytest.raises(BadItem, match="in_the_way"):
        export_folder(whole.root, str(out))


def test_a_file_in_the_place_of_the_folder_is_a_sentence(whole, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BadSetup, match="out cannot be written to"):
        export_folder(whole.root, str(tmp_path / "out"))


# ---- members that are no files, and small files that ask for much


def test_links_devices_and_sparse_members_are_told(whole, tmp_path):
    path = tmp_path / "00000.tar"
    written(path, members_of(whole))
    with tarfile.open(path, "a") as tar:
        for name, kind in (("a", tarfile.SYMTYPE), ("b", tarfile.LNKTYPE), ("c", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(f"00000009.{name}")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        big = tarfile.TarInfo("00000009.json")
        big.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(60 << 30)}
        tar.addfile(big)
    there, faults = exported(str(path), tmp_path / "out")
    assert there == ALL and [fault.kind for fault in faults] == ["not_a_file"] * 4
    assert not verify([str(path)]).ok


def test_a_scene_of_more_bytes_than_any_is_not_read(tmp_path):
    """A sparse file of the file system: 60 GB that take no room."""
    path = tmp_path / "00000.tar"
    with path.open("wb") as file:
        for number in range(3):
            info = tarfile.TarInfo(f"0.layer{number}.webp")
            info.size = 20 << 30
            file.write(info.tobuf(tarfile.GNU_FORMAT))
            file.seek(20 << 30, 1)
        file.truncate(file.tell() + 1024)
    faults: list[Fault] = []
    assert export_folder(str(path), str(tmp_path / "out"), faults) == 0
    assert [fault.kind for fault in faults] == ["too_large"] * 3
    assert {"too_large", "header"} & {fault.kind for fault in verify([str(path)]).faults}


def test_pictures_larger_than_their_box_are_not_decoded(whole, tmp_path):
    """12 kB of PNG that would take 400 MB, as each layer, mask, shadow and background."""

    def png(width: int, height: int) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        rows = zlib.compress(bytes((1 + width * 4) * 64), 9)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
            + chunk(b"IDAT", rows)
            + chunk(b"IEND", b"")
        )

    found = dict(members_of(whole))
    for layer in range(3):
        found[f"{KEY}.layer{layer}.webp"] = png(9000, 9000)
    path = written(tmp_path / "00000.tar", list(found.items()))
    there, faults = exported(path, tmp_path / "out")
    assert there == {name for name in ALL if not name.startswith(KEY)} and faults[0].kind == "shape_mismatch"
    assert {"box_size"} <= {fault.kind for fault in verify([path]).faults}


# ---- manifests, indexes, recipes and plans


def forged(store: Store, **changes: object) -> None:
    """A manifest with values of any kind whose own hash fits."""
    body = json.loads(store.read("shards/00000.json")) | changes
    del body["manifest_sha256"]
    body["manifest_sha256"] = hashlib.sha256(canonical_json(body)).hexdigest()
    store.write("shards/00000.json", canonical_json(body))


SHA = "0" * 64
CHANGES = {
    "number as stage": {"stage": 3},
    "no members": {"members": None},
    "text as members": {"members": "abc"},
    "numbers as members": {"members": [1, 2]},
    "short members": {"members": [["a.json", 512]]},
    "negative sizes": {"members": [["a.json", 512, -5, SHA]]},
    "negative offset": {"members": [["a.json", -512, 5, SHA]]},
    "gigabytes": {"members": [["a.background.jpg", 512, 60 << 30, SHA]]},
    "huge numbers": {"num_items": 10**400, "num_bytes": 10**4000},
    "endless seconds": {"seconds": float("inf")},
    "drops of numbers": {"drops": [3]},
    "drops without reason": {"drops": [{"id": "a"}]},
    "counts of text": {"counts": {"a": "b"}},
    "lists as inputs": {"inputs": []},
    "unknown field": {"surprise": 1},
    "name of 9000": {"members": [["a" * 9000 + ".background.jpg", 512, 5, SHA]]},
    "escape in a name": {"members": [["\x1b[2K\r0 faults.background.jpg", 512, 5, SHA]]},
    "escapes everywhere": {"fingerprint": "\r\x1b[1A", "shard": "\x1b]0;x\x07", "stage": "a\nb"},
    "path as a key": {"members": [["/etc/passwd.background.jpg", 512, 5, SHA]]},
    "same member often": {"members": [["0.background.jpg", 512, 0, SHA]] * 50},
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_made_up_manifest_is_a_fault_and_the_others_are_looked_at(copy, case):
    forged(copy, **CHANGES[case])
    report = verify([copy.root])
    assert {fault.shard for fault in report.faults} - {""} == {"00000"}
    assert report.num_scenes >= 2 and report.num_shards == 2
    run = CliRunner().invoke(app, ["shards", "verify", copy.root])
    assert run.exit_code == 1 and all(line.isprintable() for line in run.output.splitlines())
    assert not run.output.count("\r")
    with suppress(BadSetup):
        open_index(copy)


def test_text_that_utf_8_cannot_hold_in_a_manifest(copy):
    copy.write("shards/00000.json", b'{"stage": "\\ud800", "members": []}')
    assert ("00000.json", "bad_manifest") in [(fault.member, fault.kind) for fault in verify([copy.root]).faults]


@pytest.mark.parametrize("data", [b"[" * 200_000, b"9" * 9001, b"\xff\xfe", b"null", b'{"a":' * 5000])
@pytest.mark.parametrize("name", ["shards/00000.json", "shards/recipe.json", "plans/shards.json"])
def test_a_json_of_any_bytes_ends_nothing(copy, name, data):
    copy.write(name, data)
    report = verify([copy.root])
    named = "plans" if name.startswith("plans") else name.rpartition("/")[2]
    assert named in {fault.member for fault in report.faults} and report.num_shards == 2
    with suppress(BadSetup):
        open_index(copy)


def test_a_parquet_that_asks_for_gigabytes_is_not_read(copy):
    table = pa.table({"key": pa.array(["x" * 1_000_000] * 400)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=False)
    data = buffer.getvalue()
    assert len(data) < 2_000_000
    copy.write("shards/00000.parquet", data)
    sha = hashlib.sha256(data).hexdigest()
    changed = replace(read_manifest(copy, "shards", "00000"), parquet_sha256=sha, num_rows=400)
    copy.write("shards/00000.json", changed.to_json())
    assert ("00000.parquet", "bad_parquet") in [(fault.member, fault.kind) for fault in verify([copy.root]).faults]


def test_a_record_without_what_the_rows_say_is_a_fault(copy):
    def edit(members: dict[str, bytes]) -> None:
        record = json.loads(members["json"])
        del record["background"]["enlargement"]
        members["json"] = canonical_json(record)

    forge(copy, edit, key="00000000")
    assert [(fault.member, fault.kind) for fault in verify([copy.root]).faults] == [("00000000.json", "bad_json")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_any_value_anywhere_in_a_manifest_is_told(two, tmp_path_factory, data):
    body = json.loads(two.read("shards/00000.json"))
    del body["manifest_sha256"]
    for _ in range(data.draw(st.integers(1, 2))):
        where = data.draw(st.sampled_from([*body, "members.0", "members.1"]))
        if where.startswith("members.") and isinstance(body["members"], list) and body["members"]:
            body["members"][0] = data.draw(VALUES | st.tuples(VALUES, VALUES, VALUES, VALUES).map(list))
        else:
            body[where] = data.draw(VALUES)
    body["manifest_sha256"] = hashlib.sha256(canonical_json(body)).hexdigest()
    folder = tmp_path_factory.mktemp("made-up")
    for suffix in ("tar", "parquet"):
        (folder / f"00000.{suffix}").hardlink_to(f"{two.root}/shards/00000.{suffix}")
    (folder / "00000.json").write_bytes(canonical_json(body))
    report = verify([str(folder)])
    assert all(str(fault).isprintable() for fault in report.faults)
    with suppress(ValueError):
        Manifest.from_json(canonical_json(body))
    shutil.rmtree(folder)


@given(st.data())
def test_any_damage_of_a_tar_without_a_manifest_is_told(two, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    whole = bytearray(two.read("shards/00000.tar"))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "00000.tar"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    assert not verify([str(path)]).ok
    faults: list[Fault] = []
    for triplet in read_triplets(str(path), faults=faults):
        assert triplet.composite.shape == (64, 64, 3)
    shutil.rmtree(folder)


def test_offsets_of_a_span_are_bounded(copy):
    members = [Member(*member) for member in json.loads(copy.read("shards/00000.json"))["members"]]
    moved = [members[0], members[1]._replace(offset=1 << 50)]
    copy.write("shards/00000.json", replace(read_manifest(copy, "shards", "00000"), members=moved).to_json())
    index = open_index(copy)
    with pytest.raises(BadSetup, match="not where those of a scene may be"):
        index.read(0)


def test_our_own_tars_are_still_exported_whole(whole, tmp_path):
    buffer = io.BytesIO()
    tar = TarWriter(buffer)
    for name, data in members_of(whole):
        tar.add(name, data)
    tar.finish()
    assert buffer.getvalue() == whole.read("shards/00000.tar")
    assert exported(whole.root, tmp_path / "out") == (ALL, [])


@pytest.mark.parametrize("suffix", ["tar", "parquet", "json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large"])
def test_what_has_no_end_is_not_read(copy, suffix, kind):
    path = Path(copy.url(f"shards/00000.{suffix}"))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(60 << 30)
    report = verify([copy.root])
    assert {fault.shard for fault in report.faults} == {"00000"} and report.num_scenes >= 2
    faults: list[Fault] = []
    keys = {triplet.key for triplet in read_triplets(copy, faults=faults)}
    assert {"00000002", "00000003"} <= keys and bool(faults) == (suffix == "tar" and kind != "large")
    with suppress(BadSetup, OSError):
        open_index(copy)
