"""Which scenes training sees: what is kept out to judge it by, and smaller samples."""

from itertools import islice

import numpy as np
import pytest
import torch

from decoupage.faults import BadSetup
from decoupage.images.sizes import resize_mask, resize_picture, resize_rgba
from decoupage.maps.table import MAPS
from decoupage.preparation import HOLE_RULE, KEPT_RULE
from pipelines.config import MasksConfig
from pipelines.shards.reader import read_triplets
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, build_dataset
from tests.pipelines.dataset.discs import FixtureStage
from training.config import TrainingConfig, with_changes
from training.data import DataLoading, TripletBatch, TripletLoader, open_index
from training.data.selection import is_validation, select


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten scenes of 96 px; the layers of each are real and generated in turn."""
    store = Store(str(tmp_path_factory.mktemp("discs")))
    run_stage(FixtureStage("shards"), store, SerialEngine())
    return store.root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("dataset")
    build_dataset(root, FakeScenes(num_scenes=7, scenes_per_shard=3))
    return str(root)


def take(loader: TripletLoader, num_batches: int) -> list[TripletBatch]:
    return list(islice(loader.batches(), num_batches))


def keys(root: str, **fields: object) -> list[str]:
    return [str(key) for key in select(open_index(root), DataLoading(**fields)).keys]


def test_of_some_scenes_what_is_read_is_still_the_scene_that_the_key_names(discs: str) -> None:
    triplets = {(triplet.key, triplet.layer): triplet for triplet in read_triplets(discs)}
    kept = keys(discs, validation_share=0.5)
    asked = sorted(place for place in triplets if place[0] in kept)
    loader = TripletLoader(discs, DataLoading(batch_size=len(asked), validation_share=0.5))
    assert loader.num_triplets == len(asked) < len(triplets)
    (batch,) = take(loader, 1)
    for i, place in enumerate(zip(batch.keys, batch.layers, strict=True)):
        composite = torch.from_numpy(triplets[place].composite.copy()).permute(2, 0, 1) / 127.5 - 1.0
        assert torch.allclose(batch.composite_B3HW[i], composite.flip(-1) if batch.flipped[i] else composite)
    assert sorted(zip(batch.keys, batch.layers, strict=True)) == asked


def test_when_nothing_is_left_the_run_does_not_start(dataset: str) -> None:
    with pytest.raises(BadSetup, match="validation_share = 1 leaves none of 7 scenes for the part 'train'"):
        TripletLoader(dataset, DataLoading(validation_share=1.0))
    with pytest.raises(BadSetup, match="validation_share = 0 leaves none of 7 scenes for the part 'validation'"):
        TripletLoader(dataset, DataLoading(part="validation"))


def test_validation_is_kept_out_of_training_whatever_the_seed(discs: str) -> None:
    parts = [
        (
            keys(discs, seed=seed, validation_share=0.3, part="train"),
            keys(discs, validation_share=0.3, part="validation"),
        )
        for seed in (0, 1, 2)
    ]
    train, validation = parts[0]
    assert all(part == parts[0] for part in parts)
    assert train and validation and sorted(train + validation) == keys(discs)
    # All triplets of a scene are on one side.
    for part, scenes in (("train", train), ("validation", validation)):
        loader = TripletLoader(discs, DataLoading(validation_share=0.3, batch_size=1, part=part))
        seen = [(batch.keys[0], batch.layers[0]) for batch in take(loader, loader.num_triplets)]
        assert sorted(seen) == sorted((key, i) for key in scenes for i in range(1 + int(key) % 3))


def test_the_share_is_met_and_grows_without_exchange() -> None:
    numbers = [f"{i:08d}" for i in range(4000)]
    small, large = ({key for key in numbers if is_validation(key, share)} for share in (0.02, 0.1))
    assert small < large and 0.01 < len(small) / 4000 < 0.03 and 0.08 < len(large) / 4000 < 0.12
    assert not any(is_validation(key, 0.0) for key in numbers) and all(is_validation(key, 1.0) for key in numbers)


def test_contents_are_those_of_the_whole_data(discs: str) -> None:
    whole = open_index(discs)
    part = select(whole, DataLoading(validation_share=0.5))
    assert part.contents_sha256 == whole.contents_sha256 and len(part) < len(whole)


def test_batches_say_the_position_of_each_sample(dataset: str) -> None:
    batch = take(TripletLoader(dataset, DataLoading(batch_size=2), rank=1, world_size=3), 2)[1]
    assert batch.positions == (7, 10) and batch.end == 12


@pytest.mark.parametrize("size_px", [32, 24])
def test_smaller_samples_are_the_smaller_pictures_of_a_triplet(dataset: str, size_px: int) -> None:
    loader = TripletLoader(dataset, DataLoading(size_px=size_px, batch_size=7, flip=False, redraw_masks=False))
    assert (loader.size_px, loader.scene_px) == (size_px, 64)
    large = {(triplet.key, triplet.layer): triplet for triplet in read_triplets(dataset)}
    (batch,) = take(loader, 1)
    assert batch.hole_B1HW.shape == (7, 1, size_px, size_px) and batch.maps["depth"].shape == (7, 3, size_px, size_px)
    size = (size_px, size_px)
    for i, place in enumerate(zip(batch.keys, batch.layers, strict=True)):
        want = large[place]
        for picture, rgb in ((batch.composite_B3HW, want.composite), (batch.background_B3HW, want.background)):
            smaller = torch.from_numpy(resize_picture(rgb.astype(np.float32) / 255, size)).permute(2, 0, 1)
            assert torch.allclose(picture[i], smaller * 2 - 1, atol=1e-6)
        assert torch.equal(batch.hole_B1HW[i, 0] > 0, torch.from_numpy(resize_mask(want.mask, size, HOLE_RULE)))
        assert torch.equal(batch.kept_B1HW[i, 0] > 0, torch.from_numpy(resize_mask(want.mask, size, KEPT_RULE)))
        alpha = torch.from_numpy(resize_rgba(want.foreground.astype(np.float32) / 255, size)[..., 3])
        assert torch.equal(batch.foreground_B4HW[i, 3] > -1, alpha > 0)
        edges = torch.from_numpy(MAPS["edges"].picture(want.maps["edges"], size))
        assert torch.equal(batch.maps["edges"][i], edges.permute(2, 0, 1))


def test_masks_are_redrawn_at_the_scenes_own_size(dataset: str) -> None:
    # The same error as without resizing: only its pixels are fewer.
    large, small = (
        take(TripletLoader(dataset, DataLoading(batch_size=7, flip=False, size_px=size_px)), 1)[0]
        for size_px in (64, 32)
    )
    assert large.keys == small.keys and large.layers == small.layers
    share = torch.nn.functional.avg_pool2d(large.hole_B1HW, 2)
    cover = {"touched": share > 0, "half": share >= 0.5, "covered": share == 1}
    assert torch.equal(small.hole_B1HW > 0, cover[HOLE_RULE]) and torch.equal(small.kept_B1HW > 0, cover[KEPT_RULE])


def test_a_recipe_says_how_data_is_loaded() -> None:
    recipe = with_changes(
        TrainingConfig(),
        {"data.size_px": 64, "data.validation_share": 0.1, "seed": 5},
    )
    masks = MasksConfig(min_iou=0.5)
    train, validation = (DataLoading.of(recipe, masks, part) for part in ("train", "validation"))
    assert (train.size_px, train.validation_share) == (64, 0.1)
    assert (train.seed, train.flip, train.redraw_masks, train.part) == (5, True, True, "train")
    assert (validation.flip, validation.redraw_masks, validation.part) == (False, False, "validation")
    assert train.masks is masks and train.maps == recipe.adapter.maps
    other = DataLoading.of(with_changes(recipe, {"seed": 6}), masks, "validation")
    assert other == validation


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"validation_share": -0.1}, r"data\.validation_share must be in \[0, 1\], got -0\.1"),
        ({"part": "test"}, r"data\.part must be different ones of train, validation, got \['test'\]"),
    ],
)
def test_impossible_values_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataLoading(**fields)
