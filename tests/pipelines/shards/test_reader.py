"""Triplets out of finished shards, by our reader and by plain webdataset."""

import hashlib

import numpy as np
import pytest
import webdataset

from decoupage.faults import BadSetup
from decoupage.images.alpha import blend
from decoupage.images.codecs import decode_gray, encode_gray
from decoupage.maps.table import MAPS, decode_maps
from pipelines.scenes.parts import SceneParts, pixels_sha256
from pipelines.shards.reader import read_scenes, read_triplets
from pipelines.stages.manifest import read_manifest
from pipelines.synthetic import build_dataset


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_dataset(tmp_path_factory.mktemp("dataset"))


def test_triplets_are_what_they_say(store):
    triplets = list(read_triplets(store))
    assert [(t.key, t.layer) for t in triplets] == [
        *(("00000000", 0), ("00000001", 0), ("00000001", 1)),
        *(("00000002", 0), ("00000002", 1), ("00000002", 2), ("00000003", 0)),
    ]
    for t in triplets:
        assert pixels_sha256(t.composite) == t.record["composite_sha256"]
        assert t.mask.shape == t.maps["edges"].shape == (64, 64)
        assert t.maps["segmentation"].shape == t.maps["depth"].shape == (32, 32)
        assert t.mask.sum() == t.record["layers"][t.layer]["mask_area_px"]
        assert [stored.dtype for stored in t.maps.values()] == [np.bool_, np.uint8, np.uint16]
        left, top, right, bottom = t.record["layers"][t.layer]["box"]
        outside = t.foreground.copy()
        outside[top:bottom, left:right] = 0
        assert not outside.any()


def test_background_is_the_scene_without_the_target(store):
    for t in read_triplets(store):
        far = t.foreground[..., 3] == 0
        assert (t.background[far] == t.composite[far]).all()
        if t.layer == len(t.record["layers"]) - 1:
            assert (blend(t.background, t.foreground) == t.composite).all()


def test_labels_are_repeated_and_depth_is_interpolated():
    depth = np.array([[0, 65535], [0, 65535]], np.uint16)
    labels = np.array([[3, 9], [4, 7]], np.uint8)
    edges = encode_gray(np.zeros((8, 8), np.uint8))
    members = {"edges.png": edges, "segmentation.png": encode_gray(labels), "depth.png": encode_gray(depth)}
    maps = decode_maps(members)
    assert maps["segmentation"].shape == (2, 2) and maps["depth"].dtype == np.uint16
    colours = MAPS["segmentation"].picture(maps["segmentation"], (8, 8))
    assert (colours == np.kron(MAPS["segmentation"].picture(labels, (2, 2)), np.ones((4, 4, 1)))).all()
    gray = MAPS["depth"].picture(maps["depth"], (8, 8))[..., 0]
    assert (np.diff(gray, axis=1) >= 0).all()
    assert len(np.unique(gray)) > 3
    assert gray.min() == -1.0 and gray.max() == 1.0


def test_every_way_to_name_the_shards(store):
    keys = [t.key for t in read_triplets(store)]
    assert [t.key for t in read_triplets(store.root)] == keys
    assert [t.key for t in read_triplets(f"{store.root}/shards")] == keys
    assert [t.key for t in read_triplets(f"{store.root}/shards/00001.tar")] == keys[3:]
    assert [t.key for t in read_triplets(store, ["00001"])] == keys[3:]
    with pytest.raises(BadSetup, match="has no shards 00007"):
        next(read_triplets(store, ["00007"]))
    with pytest.raises(BadSetup, match="there is no folder"):
        next(read_triplets(f"{store.root}/nowhere"))
    with pytest.raises(BadSetup, match="holds no shards"):
        next(read_triplets(f"{store.root}/quarantine"))


def test_shards_in_an_object_store(store):
    there = build_dataset("memory://dataset")
    assert [t.key for t in read_triplets(there)] == [t.key for t in read_triplets(store)]
    assert there.read("shards/00001.tar") == store.read("shards/00001.tar")


def test_a_cut_tar_is_told(store, tmp_path):
    path = tmp_path / "00000.tar"
    path.write_bytes(store.read("shards/00000.tar")[:5000])
    with pytest.raises(BadSetup, match=r"00000\.tar cannot be read .* see `decoupage shards verify`"):
        list(read_scenes(str(path)))


def test_webdataset_reads_the_same_members(store):
    urls = [f"{store.root}/shards/{shard}.tar" for shard in ("00000", "00001")]
    members = {
        member.name: member for shard in ("00000", "00001") for member in read_manifest(store, "shards", shard).members
    }
    seen = set()
    for sample in webdataset.WebDataset(urls, shardshuffle=False, empty_check=False):
        for suffix, data in sample.items():
            if not suffix.startswith("__"):
                name = f"{sample['__key__']}.{suffix}"
                assert hashlib.sha256(data).hexdigest() == members[name].sha256
                seen.add(name)
        own = {suffix: data for suffix, data in sample.items() if not suffix.startswith("__")}
        parts = SceneParts.decode(sample["__key__"], own)
        assert pixels_sha256(parts.composite) == parts.record["composite_sha256"]
    assert seen == set(members)


def test_webdataset_decodes_pictures_with_their_alpha(store):
    url = f"{store.root}/shards/00000.tar"
    decoded = list(webdataset.WebDataset(url, shardshuffle=False, empty_check=False).decode("pilrgba"))
    ours = {t.key: t for t in read_triplets(url) if t.layer == 0}
    for sample in decoded:
        t = ours[sample["__key__"]]
        assert sample["json"] == t.record
        assert (np.asarray(sample["layer0.webp"]) == t.parts.layers[0].rgba).all()
        assert (np.asarray(sample["background.jpg"])[..., :3] == t.parts.background).all()


def test_stored_depth_is_kept_at_its_own_resolution(store):
    _, members = next(read_scenes(store))
    assert decode_gray(members["depth.png"]).shape == (32, 32)
