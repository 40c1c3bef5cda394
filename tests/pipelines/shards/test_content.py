"""Verification finds what is not true of a scene, though every byte is as its manifest says."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from decoupage.fingerprint import canonical_json
from decoupage.images.codecs import decode_mask, decode_rgba, encode_gray, encode_mask, encode_webp
from pipelines.scenes.read import stream_members
from pipelines.scenes.record import SCHEMA
from pipelines.shards.verify import verify
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import parquet_bytes
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import TarWriter
from pipelines.synthetic import FakeScenes, build_dataset

Members = dict[str, bytes]
KEY = "00000002"
"""A scene of three layers."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return build_dataset(tmp_path_factory.mktemp("whole"), FakeScenes(num_scenes=3, scenes_per_shard=3))


@pytest.fixture
def store(whole, tmp_path):
    shutil.copytree(whole.root, tmp_path / "copy")
    return Store(str(tmp_path / "copy"))


def forge(store: Store, edit: Callable[[Members], None], stage: str = "shards", key: str = KEY) -> None:
    """Write the shard again with one scene edited and all hashes right."""
    buffer = io.BytesIO()
    tar = TarWriter(buffer)
    for there, members in stream_members(io.BytesIO(store.read(f"{stage}/00000.tar"))):
        if there == key:
            edit(members)
        for suffix, data in members.items():
            tar.add(f"{there}.{suffix}", data)
    sha = tar.finish()
    manifest = read_manifest(store, stage, "00000")
    changed = replace(manifest, members=tar.members, num_bytes=tar.num_bytes, tar_sha256=sha)
    store.write(f"{stage}/00000.tar", buffer.getvalue())
    store.write(f"{stage}/00000.json", changed.to_json())


def found(store: Store) -> set[tuple[str, str]]:
    return {(fault.member, fault.kind) for fault in verify([store.root]).faults}


def with_record(members: Members, **changes: object) -> None:
    members["json"] = canonical_json(json.loads(members["json"]) | changes)


def with_layer(members: Members, i: int, **changes: object) -> None:
    record = json.loads(members["json"])
    record["layers"][i] |= changes
    members["json"] = canonical_json(record)


def with_mask(members: Members, i: int, mask: np.ndarray) -> None:
    members[f"mask{i}.png"] = encode_mask(mask)


def lower_alpha(members: Members) -> None:
    rgba = decode_rgba(members["layer1.webp"]).copy()
    rgba[..., 3] = np.where(rgba[..., 3] > 60, rgba[..., 3] - 40, rgba[..., 3])
    members["layer1.webp"] = encode_webp(rgba)


def loose_box(members: Members) -> None:
    rgba = decode_rgba(members["layer0.webp"]).copy()
    rgba[0, :, 3] = 0
    members["layer0.webp"] = encode_webp(rgba)


def no_alpha(members: Members) -> None:
    members["layer0.webp"] = encode_webp(decode_rgba(members["layer0.webp"]) * np.array([1, 1, 1, 0], np.uint8))


def smaller_layer(members: Members) -> None:
    members["layer2.webp"] = encode_webp(decode_rgba(members["layer2.webp"])[:-1])


def moved_outside(members: Members) -> None:
    left, top, right, bottom = json.loads(members["json"])["layers"][0]["box"]
    with_layer(members, 0, box=[left + 64, top, right + 64, bottom])


def without(suffix: str) -> Callable[[Members], None]:
    return lambda members: members.pop(suffix) and None


def put(suffix: str, data: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({suffix: data})


def one_layer_more(members: Members) -> None:
    record = json.loads(members["json"])
    members["json"] = canonical_json(record | {"layers": [*record["layers"], record["layers"][0]]})


ZEROS = np.zeros((64, 64), np.uint8)
CASES = {
    "alpha changed": (lower_alpha, {("json", "composite"), ("json", "amodal_area_px")}),
    "box not tight": (loose_box, {("layer0.webp", "box_loose")}),
    "nothing visible": (no_alpha, {("layer0.webp", "empty_alpha")}),
    "layer smaller than its box": (smaller_layer, {("layer2.webp", "box_size")}),
    "box outside": (moved_outside, {("layer0.webp", "box_outside")}),
    "mask empty": (lambda m: with_mask(m, 1, ZEROS), {("mask1.png", "empty_mask"), ("mask1.png", "mask_area_px")}),
    "mask of another size": (lambda m: with_mask(m, 1, ZEROS[:32]), {("mask1.png", "size")}),
    "mask mirrored": (lambda m: with_mask(m, 0, decode_mask(m["mask0.png"])[:, ::-1]), {("mask0.png", "mask_iou")}),
    "mask lost": (without("mask1.png"), {("mask1.png", "missing_member")}),
    "json lost": (without("json"), {("json", "missing_member")}),
    "depth lost": (without("depth.png"), {("depth.png", "missing_member")}),
    "depth of 8 bits": (put("depth.png", encode_gray(ZEROS)), {("depth.png", "pixel_type")}),
    "labels of 16 bits": (
        put("segmentation.png", encode_gray(ZEROS.astype(np.uint16))),
        {("segmentation.png", "pixel_type")},
    ),
    "edges smaller": (put("edges.png", encode_mask(ZEROS[:32, :32])), {("edges.png", "size")}),
    "edges no picture": (put("edges.png", b"no picture"), {("edges.png", "bad_image")}),
    "layer no picture": (put("layer1.webp", b"no picture"), {("layer1.webp", "bad_image")}),
    "json no json": (put("json", b"{"), {("json", "bad_json")}),
    "json without layers": (lambda m: with_record(m, layers=[]), {("json", "bad_json")}),
    "four layers": (one_layer_more, {("json", "bad_json")}),
    "member unknown": (put("layer3.webp", b""), {("layer3.webp", "unknown_member")}),
    "wrong key": (lambda m: with_record(m, key="00000001"), {("json", "wrong_key"), ("json", "row_differs")}),
    "wrong recipe": (lambda m: with_record(m, recipe="0" * 16), {("json", "fingerprint")}),
    "wrong canvas": (lambda m: with_record(m, size_px=128), {("background.jpg", "size")}),
    "wrong composite": (lambda m: with_record(m, composite_sha256="0" * 64), {("json", "composite")}),
    "wrong fraction": (lambda m: with_layer(m, 0, occluded_fraction=0.5), {("json", "occluded_fraction")}),
    "wrong visible area": (lambda m: with_layer(m, 0, visible_area_px=1.0), {("json", "visible_area_px")}),
    "category unlike the row": (lambda m: with_layer(m, 1, size_class="large"), {("json", "row_differs")}),
}


@pytest.mark.parametrize("case", CASES)
def test_untrue_scene_is_found(store, case):
    edit, expected = CASES[case]
    forge(store, edit)
    assert {(f"{KEY}.{suffix}", kind) for suffix, kind in expected} <= found(store)
    assert all(member.startswith(KEY) for member, _ in found(store))


def test_forging_nothing_leaves_no_fault(store):
    forge(store, lambda members: None)
    assert found(store) == set()


def test_scenes_are_checked_before_the_join_too(store):
    forge(store, lower_alpha, "scenes")
    assert any(fault.kind == "composite" for fault in verify([f"{store.root}/scenes"]).faults)


def write_rows(store: Store, rows: list[dict], schema=SCHEMA) -> None:
    data = parquet_bytes(rows, schema)
    manifest = read_manifest(store, "shards", "00000")
    store.write("shards/00000.parquet", data)
    changed = replace(manifest, parquet_sha256=hashlib.sha256(data).hexdigest())
    store.write("shards/00000.json", changed.to_json())


def test_rows_must_be_those_of_the_scenes(store):
    rows = pq.read_table(f"{store.root}/shards/00000.parquet").to_pylist()
    write_rows(store, rows[:-1])
    assert found(store) == {("00000.parquet", "row_count"), (f"{KEY}.json", "row_count")}
    write_rows(store, [*rows, rows[0] | {"key": "00000009"}])
    assert found(store) == {("00000.parquet", "row_count"), ("00000.parquet", "unknown_key")}
    write_rows(store, [rows[0] | {"prompt": "else"}, *rows[1:]])
    assert found(store) == {("00000000.json", "row_differs")}
    write_rows(store, [{"key": row["key"]} for row in rows], SCHEMA.remove(1))
    assert found(store) == {("00000.parquet", "columns")}


def test_counts_of_the_manifest_must_hold(store):
    manifest = read_manifest(store, "shards", "00000")
    store.write("shards/00000.json", replace(manifest, num_items=4, num_rows=5, tar_sha256="0" * 64).to_json())
    assert found(store) == {("00000.json", "item_count"), ("00000.parquet", "row_count"), ("00000.tar", "sha256")}


def test_a_scene_twice_in_a_tar_is_found(store):
    buffer = io.BytesIO()
    tar = TarWriter(buffer)
    scenes = list(stream_members(io.BytesIO(store.read("shards/00000.tar"))))
    for key, members in [*scenes, scenes[0]]:
        for suffix, data in members.items():
            tar.add(f"{key}.{suffix}", data)
    manifest = read_manifest(store, "shards", "00000")
    sha = tar.finish()
    changed = replace(manifest, members=tar.members, num_bytes=tar.num_bytes, tar_sha256=sha, num_items=4)
    store.write("shards/00000.tar", buffer.getvalue())
    store.write("shards/00000.json", changed.to_json())
    assert found(store) == {("00000000", "repeated_key")}
