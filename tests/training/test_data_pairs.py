"""Before/after pairs among the samples of training: which positions they take, what they bring, and what they lack."""

import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from pipelines.pairs.parts import PairParts
from pipelines.scenes.read import read_members, scene_keys
from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, build_dataset
from tests.pairs import build_pairs, write_pairs
from training.config import TrainingConfig, with_changes
from training.data import DataLoading, TripletBatch, TripletLoader
from training.data.order import drawn_from
from training.licences import pair_uses
from training.losses import foreground_weight
from training.pairs import find_pairs

NUM_PAIRS = 5
HALF = DataLoading(batch_size=2, pairs_share=0.5, flip=False, redraw_masks=False)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven scenes of 13 triplets, and five pairs of which one has a foreground."""
    root = tmp_path_factory.mktemp("dataset")
    build_dataset(root, FakeScenes(num_scenes=7, scenes_per_shard=3))
    build_pairs(root, write_pairs(root / "own", NUM_PAIRS, with_foreground=(2,)), num_shards=2)
    return root


def take(loader: TripletLoader, num_batches: int, start: int = 0) -> list[TripletBatch]:
    return list(islice(loader.batches(start), num_batches))


def drawn(batches: list[TripletBatch]) -> list[tuple[int, str, float]]:
    return [
        (position, key, float(picture.sum()))
        for batch in batches
        for position, key, picture in zip(batch.positions, batch.keys, batch.composite_B3HW, strict=True)
    ]


@given(share=st.floats(0, 1), start=st.integers(0, 10**9))
def test_each_kind_has_its_own_positions_without_a_gap(share: float, start: int):
    found = [drawn_from(position, share) for position in range(start, start + 200)]
    for kind in (True, False):
        own = [number for is_pair, number in found if is_pair == kind]
        assert own == list(range(own[0], own[0] + len(own))) if own else True
    assert sum(is_pair for is_pair, _ in found) == pytest.approx(200 * share, abs=1)


def test_without_pairs_positions_are_the_scenes_own():
    assert [drawn_from(position, 0.0) for position in (0, 5, 10**12)] == [(False, 0), (False, 5), (False, 10**12)]


def test_an_epoch_of_pairs_holds_each_once(dataset: Path):
    keys = [key for _, key, _ in drawn(take(TripletLoader(str(dataset), HALF), 2 * NUM_PAIRS))]
    pairs = [key for key in keys if key.startswith("pair-")]
    assert len(pairs) == 2 * NUM_PAIRS == len(keys) / 2
    assert len(set(pairs[:NUM_PAIRS])) == len(set(pairs[NUM_PAIRS:])) == NUM_PAIRS


def test_neither_a_restart_nor_workers_nor_processes_change_what_is_drawn(dataset: Path):
    whole = drawn(take(TripletLoader(str(dataset), HALF), 6))
    assert drawn(take(TripletLoader(str(dataset), HALF), 4, start=4)) == whole[4:]
    helped = DataLoading(batch_size=2, pairs_share=0.5, flip=False, redraw_masks=False, num_workers=2)
    assert drawn(take(TripletLoader(str(dataset), helped), 6)) == whole
    alone = DataLoading(batch_size=1, pairs_share=0.5, flip=False, redraw_masks=False)
    ranks = [drawn(take(TripletLoader(str(dataset), alone, rank, 2), 6)) for rank in (0, 1)]
    assert sorted(ranks[0] + ranks[1]) == whole


def test_a_root_in_an_object_store_gives_the_same_samples(dataset: Path):
    """Also where a process draws no pair at all, as every second one of these does."""
    import fsspec

    files = fsspec.filesystem("memory")
    files.put(str(dataset / "shards"), "/paired/shards", recursive=True)
    files.put(str(dataset / "pairs"), "/paired/pairs", recursive=True)
    alone = DataLoading(batch_size=1, pairs_share=0.5, flip=False, redraw_masks=False)
    for rank in (0, 1):
        there, here = (take(TripletLoader(root, alone, rank, 2), 4) for root in ("memory://paired", str(dataset)))
        assert drawn(there) == drawn(here)


def test_a_pair_brings_its_pictures_and_says_whether_it_has_a_foreground(dataset: Path):
    store = Store(str(dataset))
    pairs = {}
    for shard in ("00000", "00001"):
        manifest = read_manifest(store, "pairs", shard)
        assert manifest is not None
        for key in scene_keys(manifest):
            pairs[key] = PairParts.decode(key, read_members(store, manifest, key))
    seen = 0
    for batch in take(TripletLoader(str(dataset), HALF), NUM_PAIRS):
        assert batch.has_foreground_B.dtype == torch.bool
        for row, key in enumerate(batch.keys):
            if key not in pairs:
                assert batch.has_foreground_B[row]
                continue
            parts, seen = pairs[key], seen + 1
            for picture, stored in ((batch.composite_B3HW, parts.composite), (batch.background_B3HW, parts.background)):
                found = ((picture[row].permute(1, 2, 0).numpy() + 1) * 127.5).round()
                assert np.array_equal(found, stored)
            assert np.array_equal(batch.hole_B1HW[row, 0].numpy() > 0, parts.mask)
            assert bool(batch.has_foreground_B[row]) == (parts.record["name"] == "p2") == parts.has_foreground
            assert bool((batch.foreground_B4HW[row, 3] > -1).any()) == parts.has_foreground
            assert set(batch.maps) == set(HALF.maps)
    assert seen == NUM_PAIRS


def test_masks_of_pairs_are_drawn_again_as_those_of_scenes(dataset: Path):
    again = DataLoading(batch_size=NUM_PAIRS, pairs_share=1.0, flip=False)
    exact = DataLoading(batch_size=NUM_PAIRS, pairs_share=1.0, flip=False, redraw_masks=False)
    first, second = take(TripletLoader(str(dataset), again), 2)
    (stored,) = take(TripletLoader(str(dataset), exact), 1)
    assert first.keys == stored.keys and not torch.equal(first.hole_B1HW, stored.hole_B1HW)
    assert not torch.equal(first.hole_B1HW, second.hole_B1HW)


def test_both_halves_weigh_the_same_over_an_epoch(dataset: Path):
    loader = TripletLoader(str(dataset), HALF)
    assert loader.foreground_share == pytest.approx(1 - 0.5 * 4 / 5)
    batches = take(loader, NUM_PAIRS)  # An epoch of the pairs.
    weights = [foreground_weight(batch.has_foreground_B, loader.foreground_share) for batch in batches]
    assert all(weight is not None for weight in weights)
    assert float(torch.cat([weight for weight in weights if weight is not None]).mean()) == pytest.approx(1.0)
    assert TripletLoader(str(dataset), DataLoading()).foreground_share == 1.0
    assert foreground_weight(torch.tensor([True]), 1.0) is None


def test_a_run_is_known_by_its_pairs_only_if_it_draws_some(dataset: Path, tmp_path: Path):
    plain, paired = TripletLoader(str(dataset), DataLoading()).identity, TripletLoader(str(dataset), HALF).identity
    assert set(paired) - set(plain) == {"pairs"} and plain == {name: paired[name] for name in plain}
    config = TrainingConfig()
    assert "pairs_share" not in config.recipe()["data"]
    assert with_changes(config, {"data.pairs_share": 0.0}).fingerprint() == config.fingerprint()
    assert with_changes(config, {"data.pairs_share": 0.3}).fingerprint() != config.fingerprint()


def test_validation_takes_scenes_alone(dataset: Path):
    config = with_changes(TrainingConfig(), {"data.pairs_share": 0.5, "data.validation_share": 0.5})
    assert DataLoading.of(config).pairs_share == 0.5
    assert DataLoading.of(config, part="validation").pairs_share == 0.0


def test_a_share_of_pairs_without_pairs_is_refused_before_work_starts(dataset: Path, tmp_path: Path):
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    with pytest.raises(BadSetup, match=r"data\.pairs_share = 0\.5 .*no folder .*pairs\.source = \"folder\""):
        TripletLoader(str(tmp_path), HALF)
    assert not TripletLoader(str(tmp_path), DataLoading()).pairs


def test_pairs_smaller_than_the_samples_are_refused(dataset: Path, tmp_path: Path):
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    shutil.copytree(dataset / "library", tmp_path / "library")
    shutil.copytree(dataset / "foregrounds", tmp_path / "foregrounds")
    shutil.copytree(dataset / "photographs", tmp_path / "photographs")
    build_pairs(tmp_path, dataset / "own", size_px=64)
    with pytest.raises(BadSetup, match=r"holds scenes of 64x64 px, the recipe trains at data\.size_px = 96"):
        TripletLoader(str(tmp_path), DataLoading(pairs_share=0.5, size_px=96))


def test_the_licences_of_pairs_bind_what_is_trained_on_them(dataset: Path):
    (use,) = pair_uses(find_pairs(str(dataset), 0.5))
    assert use.licence == "unknown" and use.name == "5 before/after pairs" and use.obstacle
