"""The catalogue: complete, without repeats, split by origin, obedient to takedowns."""

import json
from dataclasses import replace

import pytest

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_rgba
from pipelines.config import LibraryConfig
from pipelines.library.catalogue import (
    build_catalogue,
    read_backgrounds,
    read_catalogue,
    read_foregrounds,
    unmatched_lines,
)
from pipelines.library.duplicates import duplicates
from pipelines.library.exclusions import Exclusion, write_exclusions
from pipelines.library.picture_hashes import CACHE, HashCache, PictureHashes
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.stages.store import Store
from tests.library import write_library


def foregrounds(root):
    return [r for kind in ("real", "generated") for r in read_foregrounds(Store(str(root)), f"foregrounds/{kind}")]


def test_records_lead_to_their_bytes(tmp_path):
    report = write_library(str(tmp_path))
    store = Store(str(tmp_path))
    records, version = read_catalogue(store, ForegroundRecord)
    assert records == report.records and version == report.sha256
    assert {record.kind for record in records} == {"real", "generated"}
    for record in records:
        rgba = decode_rgba(store.read_range(record.tar, record.offset, record.num_bytes))
        assert rgba.shape == (record.height_px, record.width_px, 4)


def test_held_out_origins_are_for_testing_only(tmp_path):
    write_library(str(tmp_path))
    config = LibraryConfig(held_out=("real-2",), held_out_share=0.0, duplicate_distance_bits=0)
    report = build_catalogue(Store(str(tmp_path)), foregrounds(tmp_path), config)
    assert [record.id for record in report.records if record.split == "test"] == ["real-2"]


def test_held_out_share_goes_by_origin_and_is_stable(tmp_path):
    write_library(str(tmp_path), real=tuple(range(12)))
    config = LibraryConfig(held_out_share=0.5, duplicate_distance_bits=0)
    report = build_catalogue(Store(str(tmp_path)), foregrounds(tmp_path), config)
    first = {record.id: record.split for record in report.records}
    write_library(str(tmp_path), real=tuple(range(16)))
    second = build_catalogue(Store(str(tmp_path)), foregrounds(tmp_path), config)
    assert {"train", "test"} == set(first.values())
    assert first.items() <= {record.id: record.split for record in second.records}.items()


def test_takedown_removes_and_says_so(tmp_path):
    write_library(str(tmp_path))
    listed = tmp_path / "takedowns.txt"
    listed.write_text("# asked for by its owner\nreal-1  # one photograph\n")
    config = LibraryConfig(takedowns=str(listed), held_out_share=0.0, duplicate_distance_bits=0)
    report = build_catalogue(Store(str(tmp_path)), foregrounds(tmp_path), config)
    assert "real-1" not in {record.id for record in report.records}
    lines = (tmp_path / "quarantine/library-foregrounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["real-1"]
    with pytest.raises(BadSetup, match="empty file is enough"):
        build_catalogue(Store(str(tmp_path)), foregrounds(tmp_path), LibraryConfig(takedowns="nowhere.txt"))


def test_near_duplicates_keep_the_first(tmp_path):
    records = write_library(str(tmp_path)).records[:3]
    bits = int(records[0].perceptual_hash, 16)
    near = replace(records[1], perceptual_hash=f"{bits ^ 0b101:016x}")
    far = replace(records[2], perceptual_hash=f"{bits ^ 0xFFFF:016x}")
    copy = replace(far, id="copy", perceptual_hash="0" * 16)
    assert duplicates([records[0], near, far, copy], 2) == {near.id: records[0].id, "copy": far.id}
    assert duplicates([records[0], near, far], 1) == {}


def test_of_two_near_duplicates_across_the_split_the_training_one_goes(tmp_path):
    write_library(str(tmp_path))
    config = LibraryConfig(held_out=("real-7",), held_out_share=0.0)
    # At 64 bits everything is one picture: only the held-out one survives, and nothing is left to train on.
    config = config.model_copy(update={"duplicate_distance_bits": 64})
    with pytest.raises(BadSetup, match="no usable foregrounds for training"):
        build_catalogue(Store(str(tmp_path)), foregrounds(tmp_path), config)


def test_missing_catalogue_says_what_to_make(tmp_path):
    with pytest.raises(BadSetup, match="make the backgrounds library first"):
        read_catalogue(Store(str(tmp_path)), BackgroundRecord)


def test_lines_that_match_neither_kind_are_told(tmp_path):
    write_library(str(tmp_path))
    store, photographs = Store(str(tmp_path)), Store(f"{tmp_path}/photographs")
    backgrounds = read_backgrounds(store, "backgrounds")
    takedowns, listed = tmp_path / "takedowns.txt", tmp_path / "test.txt"
    takedowns.write_bytes(f"\ufeffREAL-1\r\nreal-2\r\n{backgrounds[0].id}\r\n# a comment\r\n".encode())
    listed.write_text("real-3\nnowhere\n")
    write_exclusions(store, [Exclusion("real-4", "reject"), Exclusion("gone-1", "reject")])
    config = LibraryConfig(takedowns=str(takedowns), evaluation_lists=(str(listed),), duplicate_distance_bits=0)
    kept = build_catalogue(store, foregrounds(tmp_path), config, photographs=photographs)
    assert {"real-2", "real-3", "real-4"}.isdisjoint(record.id for record in kept.records)
    build_catalogue(store, backgrounds, config, photographs=photographs)
    told = {found.where: found.lines for found in unmatched_lines(store)}
    assert told == {
        str(takedowns): {"REAL-1": "real-1"},
        store.url("exclusions.jsonl"): {"gone-1": ""},
        str(listed): {"nowhere": ""},
    }


def test_a_damaged_cache_of_hashes_is_made_again(tmp_path, caplog):
    cache = HashCache(Store(str(tmp_path)))
    made = PictureHashes("0" * 64, ("f" * 16,))
    cache.get("a", lambda: made)
    cache.save()
    whole = cache.store.read(CACHE)
    assert HashCache(cache.store).get("a", lambda: pytest.fail("it is known")) == made
    for damaged in (
        whole[:-9],
        b"\xff\xfe",
        b"[" * 100_000,
        whole.replace(b"ffff", b"zzzz"),
        b'{"version": "1"}',
    ):
        cache.store.write(CACHE, damaged)
        assert HashCache(cache.store).get("a", lambda: made) == made
    assert caplog.text.count("picture_hashes.json is made again") == 4
