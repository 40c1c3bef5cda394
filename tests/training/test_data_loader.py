import hashlib
import json
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.maps.table import MAPS
from decoupage.rgba_values import gray_where_invisible
from pipelines.shards.reader import Triplet, read_triplets
from pipelines.stages.manifest import Manifest
from pipelines.synthetic import FakeScenes, build_dataset
from training.data import DataLoading, TripletBatch, TripletLoader, open_index

NUM_SCENES = 7
NUM_TRIPLETS = 13  # Scenes have one, two, three layers in turn.
AS_STORED = DataLoading(batch_size=2, flip=False, redraw_masks=False)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    build_dataset(root, FakeScenes(num_scenes=NUM_SCENES, scenes_per_shard=3))
    return root


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    """Shards that a test may damage."""
    return Path(shutil.copytree(dataset / "shards", tmp_path / "shards"))


def take(loader: TripletLoader, num_batches: int, start: int = 0) -> list[TripletBatch]:
    return list(islice(loader.batches(start), num_batches))


def drawn(batches: list[TripletBatch]) -> list[tuple[str, int, bool, float]]:
    """What was drawn, sample by sample, with a figure that tells masks apart."""
    return [
        (key, layer, flipped, float((mask * torch.arange(mask.numel()).view_as(mask)).sum()))
        for batch in batches
        for key, layer, flipped, mask in zip(batch.keys, batch.layers, batch.flipped, batch.hole_B1HW, strict=True)
    ]


def stored(dataset: Path) -> dict[tuple[str, int], Triplet]:
    return {(triplet.key, triplet.layer): triplet for triplet in read_triplets(str(dataset))}


def spoil(shards: Path, key: str, suffix: str) -> None:
    """Flip bytes in the middle of one member."""
    for manifest_path in shards.glob("*.json"):
        if manifest_path.name == "recipe.json":
            continue
        for member in Manifest.from_json(manifest_path.read_bytes()).members:
            if member.name == f"{key}.{suffix}":
                tar = manifest_path.with_suffix(".tar")
                data = bytearray(tar.read_bytes())
                middle = member.offset + member.num_bytes // 2
                data[middle : middle + 4] = bytes(255 - value for value in data[middle : middle + 4])
                tar.write_bytes(data)


def rewrite(manifest_path: Path, **changes: object) -> None:
    """A manifest with other fields, in itself whole."""
    body = json.loads(manifest_path.read_bytes())
    del body["manifest_sha256"]
    manifest_path.write_bytes(Manifest.from_json(_closed(body | changes)).to_json())


def _closed(body: dict[str, object]) -> bytes:
    return canonical_json(body | {"manifest_sha256": hashlib.sha256(canonical_json(body)).hexdigest()})


def test_tensors_are_those_of_the_stored_triplets(dataset: Path) -> None:
    triplets = stored(dataset)
    for batch in take(TripletLoader(str(dataset), AS_STORED), 8):
        for i, place in enumerate(zip(batch.keys, batch.layers, strict=True)):
            want = triplets[place]
            composite, background = (
                torch.from_numpy(np.array(rgb)).permute(2, 0, 1) / 127.5 - 1.0
                for rgb in (want.composite, want.background)
            )
            assert torch.allclose(batch.composite_B3HW[i], composite)
            assert torch.allclose(batch.background_B3HW[i], background)
            assert torch.equal(batch.hole_B1HW[i, 0] > 0.5, torch.from_numpy(want.mask))
            signed_4HW = torch.from_numpy(want.foreground).permute(2, 0, 1).float() / 127.5 - 1.0
            assert torch.allclose(batch.foreground_B4HW[i], gray_where_invisible(signed_4HW[None])[0])
            for name in MAPS:
                picture_HWC = MAPS[name].picture(want.maps[name], want.mask.shape)
                assert torch.equal(batch.maps[name][i], torch.from_numpy(picture_HWC).permute(2, 0, 1))


def test_layouts_and_ranges(dataset: Path) -> None:
    batch = take(TripletLoader(str(dataset), DataLoading(batch_size=3, maps=("depth",))), 1)[0]
    assert batch.composite_B3HW.shape == batch.background_B3HW.shape == (3, 3, 64, 64)
    assert batch.foreground_B4HW.shape == (3, 4, 64, 64)
    assert batch.hole_B1HW.shape == (3, 1, 64, 64)
    assert set(batch.hole_B1HW.unique().tolist()) == {0.0, 1.0}
    assert list(batch.maps) == ["depth"]
    invisible = batch.foreground_B4HW[:, 3] == -1.0
    assert invisible.any() and (batch.foreground_B4HW[:, :3].movedim(1, -1)[invisible] == 0.0).all()


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_do_not_change_what_is_drawn(dataset: Path, num_workers: int) -> None:
    alone = take(TripletLoader(str(dataset), DataLoading(batch_size=2)), 5)
    helped = take(TripletLoader(str(dataset), DataLoading(batch_size=2, num_workers=num_workers)), 5)
    assert drawn(alone) == drawn(helped)
    assert all(torch.equal(a.maps["depth"], b.maps["depth"]) for a, b in zip(alone, helped, strict=True))


def test_processes_share_an_epoch_without_overlap(dataset: Path) -> None:
    parts = [take(TripletLoader(str(dataset), DataLoading(batch_size=1), rank, 3), 5) for rank in range(3)]
    alone = take(TripletLoader(str(dataset), DataLoading(batch_size=3)), 5)
    together = [sample for step in zip(*parts, strict=True) for sample in drawn(list(step))]
    assert together == drawn(alone)
    assert [part[-1].end for part in parts] == [15, 15, 15]
    assert {(key, layer) for key, layer, *_ in together[:NUM_TRIPLETS]} == set(stored(dataset))


@pytest.mark.parametrize("start", [1, 4, 9])
def test_going_on_at_a_sample_equals_the_run_that_never_stopped(dataset: Path, start: int) -> None:
    whole = drawn(take(TripletLoader(str(dataset), DataLoading(batch_size=1)), 12))
    assert drawn(take(TripletLoader(str(dataset), DataLoading(batch_size=1)), 12 - start, start)) == whole[start:]


def test_a_batch_says_where_to_go_on(dataset: Path) -> None:
    loader = TripletLoader(str(dataset), DataLoading(batch_size=3))
    first, second = take(loader, 2)
    assert (first.positions[0], first.end, second.positions[0]) == (0, 3, 3)
    assert drawn(take(loader, 1, first.end)) == drawn([second])


def test_every_epoch_shows_all_triplets_in_another_order(dataset: Path) -> None:
    loader = TripletLoader(str(dataset), DataLoading(batch_size=NUM_TRIPLETS))
    assert loader.num_triplets == NUM_TRIPLETS
    epochs = [list(zip(batch.keys, batch.layers, strict=True)) for batch in take(loader, 3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert all(sorted(epoch) == sorted(stored(dataset)) for epoch in epochs)


def test_an_epoch_is_as_often_occluded_as_the_triplets(dataset: Path) -> None:
    with fsspec.open_files(f"{dataset}/shards/*.parquet") as files:
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    occluded = {(row["key"], row["layer"]) for row in rows if row["occluded_fraction"] > 0}
    (batch,) = take(TripletLoader(str(dataset), DataLoading(batch_size=NUM_TRIPLETS)), 1)
    drawn_occluded = [place in occluded for place in zip(batch.keys, batch.layers, strict=True)]
    assert 0 < len(occluded) < len(rows) == NUM_TRIPLETS
    assert sum(drawn_occluded) / len(drawn_occluded) == len(occluded) / len(rows)


def test_flipping_mirrors_everything_alike(dataset: Path) -> None:
    plain = take(TripletLoader(str(dataset), DataLoading(batch_size=NUM_SCENES, flip=False)), 1)[0]
    batch = take(TripletLoader(str(dataset), DataLoading(batch_size=NUM_SCENES)), 1)[0]
    assert len(set(batch.flipped)) == 2 and not any(plain.flipped)
    for name in ("composite_B3HW", "hole_B1HW", "kept_B1HW", "foreground_B4HW", "background_B3HW"):
        for i, flipped in enumerate(batch.flipped):
            want = getattr(plain, name)[i]
            assert torch.equal(getattr(batch, name)[i], want.flip(-1) if flipped else want), name
    for name in MAPS:
        for i, flipped in enumerate(batch.flipped):
            want = plain.maps[name][i]
            assert torch.equal(batch.maps[name][i], want.flip(-1) if flipped else want), name


def test_masks_are_redrawn_in_every_epoch(dataset: Path) -> None:
    loader = TripletLoader(str(dataset), DataLoading(batch_size=NUM_TRIPLETS, flip=False))
    first, second = (
        dict(zip(zip(batch.keys, batch.layers, strict=True), batch.hole_B1HW, strict=True)) for batch in take(loader, 2)
    )
    triplets = stored(dataset)
    assert any(not torch.equal(first[place], second[place]) for place in triplets)
    assert any(not np.array_equal(first[place][0].numpy() > 0, triplets[place].mask) for place in triplets)
    assert all(mask.any() for mask in (*first.values(), *second.values()))


def test_without_maps_the_shards_need_none(tmp_path: Path) -> None:
    root = tmp_path / "bare"
    scenes = build_dataset(root, FakeScenes(num_scenes=2))
    with pytest.raises(BadSetup, match=r"scene 00000000 in shard 00000 has no edges\.png \(2 of 2 scenes lack it\)"):
        TripletLoader(f"{scenes.root}/scenes", AS_STORED)
    with pytest.raises(BadSetup, match=r"has no mask0\.png .* train with data\.redraw_masks = true"):
        TripletLoader(f"{scenes.root}/scenes", replace(AS_STORED, maps=()))
    bare = TripletLoader(f"{scenes.root}/scenes", DataLoading(batch_size=2, maps=()))
    assert take(bare, 1)[0].maps == {}


def test_other_stores_give_the_same(dataset: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in (dataset / "shards").iterdir():
        memory.pipe_file(f"/loader/shards/{path.name}", path.read_bytes())
    assert drawn(take(TripletLoader("memory://loader", AS_STORED), 4)) == drawn(
        take(TripletLoader(str(dataset / "shards"), AS_STORED), 4)
    )


@pytest.mark.parametrize("suffix", ["background.jpg", "layer0.webp", "depth.png", "json"])
def test_an_unreadable_member_is_skipped_and_counted_once(
    copy: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(copy, "00000004", suffix)
    loader = TripletLoader(str(copy), DataLoading(batch_size=NUM_SCENES, max_unreadable_share=0.2))
    batches = take(loader, 3)
    assert all(len(batch) == NUM_SCENES and "00000004" not in batch.keys for batch in batches)
    assert list(loader.unreadable) == ["00000004"]
    assert f"00000004.{suffix}" in loader.unreadable["00000004"]
    assert caplog.text.count("scene 00000004 is skipped") == 1


def test_other_positions_keep_their_samples_when_one_is_unreadable(dataset: Path, copy: Path) -> None:
    spoil(copy, "00000004", "mask0.png")
    loading = DataLoading(batch_size=1, max_unreadable_share=0.2)
    sound, damaged = (drawn(take(TripletLoader(str(path), loading), 2 * NUM_TRIPLETS)) for path in (dataset, copy))
    differing = [a for a, b in zip(sound, damaged, strict=True) if a != b]
    assert [key for key, *_ in differing] == ["00000004"] * 4


@pytest.mark.parametrize("num_workers", [0, 1])
def test_above_the_share_the_run_stops(copy: Path, num_workers: int) -> None:
    for key in ("00000001", "00000004"):
        spoil(copy, key, "layer0.webp")
    loading = DataLoading(batch_size=NUM_TRIPLETS, num_workers=num_workers, max_unreadable_share=0.2)
    with pytest.raises(BadSetup, match=r"2 of 7 scenes cannot be read.*0000000\d\.layer0\.webp"):
        take(TripletLoader(str(copy), loading), 1)


def test_a_lost_tar_stops_the_run(copy: Path) -> None:
    (copy / "00001.tar").unlink()
    with pytest.raises(BadSetup, match="cannot be read, more than"):
        take(TripletLoader(str(copy), DataLoading(batch_size=NUM_SCENES, max_unreadable_share=0.2)), 1)


def test_shards_of_different_recipes_are_refused(copy: Path) -> None:
    own = open_index(str(copy)).fingerprint
    rewrite(copy / "00001.json", fingerprint="f" * 16)
    with pytest.raises(BadSetup, match=f"mixes recipes: shard 00000 has fingerprint {own}, shard 00001 has ffff"):
        TripletLoader(str(copy), AS_STORED)


def test_an_unfinished_or_damaged_shard_is_refused(copy: Path) -> None:
    manifest = (copy / "00002.json").read_bytes()
    (copy / "00002.json").write_bytes(manifest.replace(b"00000006", b"00000009"))
    with pytest.raises(BadSetup, match=r"00002\.json is damaged"):
        open_index(str(copy))
    (copy / "00002.json").unlink()
    with pytest.raises(BadSetup, match="shard 00002 is not finished"):
        open_index(str(copy))


def test_a_repeated_scene_is_refused(copy: Path) -> None:
    for end in ("tar", "parquet", "json"):
        shutil.copy(copy / f"00000.{end}", copy / f"00009.{end}")
    with pytest.raises(BadSetup, match="scene 00000000 is in shard 00000 and in shard 00009"):
        open_index(str(copy))


def test_contents_are_told_apart(dataset: Path, copy: Path) -> None:
    assert open_index(str(dataset)).contents_sha256 == open_index(str(copy)).contents_sha256
    for path in copy.glob("00002.*"):
        path.unlink()
    assert open_index(str(dataset)).contents_sha256 != open_index(str(copy)).contents_sha256


def test_another_size_than_the_recipe_asks_for_is_refused(dataset: Path) -> None:
    assert TripletLoader(str(dataset), DataLoading(size_px=64)).size_px == 64
    with pytest.raises(BadSetup, match=r"64x64 px, the recipe trains at data\.size_px = 128"):
        TripletLoader(str(dataset), DataLoading(size_px=128))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 0}, r"data\.batch_size must be in \[1, 65536\], got 0"),
        ({"maps": ("depth", "normals")}, r"data\.maps must be different ones of .*, got \['depth', 'normals'\]"),
        ({"max_unreadable_share": 1.5}, r"data\.max_unreadable_share must be in \[0, 1\], got 1\.5"),
    ],
)
def test_impossible_values_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataLoading(**fields)


def test_a_batch_moves_as_a_whole(dataset: Path) -> None:
    batch = take(TripletLoader(str(dataset), AS_STORED), 1)[0].to("meta")
    assert batch.composite_B3HW.is_meta and batch.hole_B1HW.is_meta and batch.maps["edges"].is_meta
