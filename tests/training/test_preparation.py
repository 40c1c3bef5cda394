"""One preparation: a scene in the loader and the same picture in a call of the pipeline become the same tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.images.codecs import encode_gray, encode_mask
from decoupage.maps.choose import AutoMaps, make_makers
from decoupage.maps.config import MapsConfig
from decoupage.maps.table import MAPS, decode_maps
from decoupage.preparation import Prepared
from pipelines.scenes.parts import Layer, SceneParts
from tests.pipelines.dataset.discs import make_parts, spoilt
from training.data import DataLoading
from training.data.triplets import TripletBatch, make_sample

SIZE_PX = 64


@pytest.fixture(scope="module")
def pipe() -> LayerDecompositionPipeline:
    config = AdapterConfig(base="small-fill", rank=2, size_px=SIZE_PX, num_inference_steps=1)
    return LayerDecompositionPipeline.from_base(config)


@contextmanager
def caught(pipe: LayerDecompositionPipeline) -> Iterator[list[Prepared]]:
    """What reaches the model in a call."""
    found: list[Prepared] = []

    def look(prepared: Prepared, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        found.append(prepared)
        size = prepared.picture_B3HW.shape[2:]
        return torch.zeros(len(prepared), 4, *size), torch.zeros(len(prepared), 3, *size)

    pipe.decompose = look  # type: ignore[method-assign]
    try:
        yield found
    finally:
        del pipe.decompose  # type: ignore[attr-defined]


def scene(seed: int, scale: int) -> tuple[SceneParts, dict[str, np.ndarray]]:
    """Discs of 96 px, repeated to `scale` times that and given texture, with masks and maps of that size."""
    bare = make_parts(f"{seed:08d}")
    rng = np.random.default_rng(seed)

    def grown(picture: np.ndarray) -> np.ndarray:
        large = picture.repeat(scale, axis=0).repeat(scale, axis=1)
        if large.ndim == 3:
            large[..., :3] = np.clip(large[..., :3] + rng.integers(-20, 20, (*large.shape[:2], 3)), 0, 255)
        return large

    layers = tuple(
        Layer(grown(layer.rgba), tuple(scale * side for side in layer.box))  # type: ignore[arg-type]
        for layer in bare.layers
    )
    masks = tuple(grown(spoilt(bare.visible_mask(i), "dilation")) for i in range(len(layers)))
    parts = SceneParts(bare.key, grown(bare.background), layers, {}, masks)
    members = {f"{maker.name}.png": maker.pngs([parts.composite])[0] for maker in make_makers(MapsConfig())}
    return parts, decode_maps(members)


def assert_same(sample: TripletBatch, prepared: Prepared) -> None:
    assert prepared.picture_B3HW.shape == (1, 3, SIZE_PX, SIZE_PX)
    assert torch.equal(prepared.picture_B3HW[0], sample.composite_B3HW[0])
    assert torch.equal(prepared.hole_B1HW[0], sample.hole_B1HW[0])
    assert torch.equal(prepared.kept_B1HW[0], sample.kept_B1HW[0])
    assert list(prepared.maps) == list(sample.maps) == list(MAPS)
    for name, picture in sample.maps.items():
        assert torch.equal(prepared.maps[name], picture), name


AS_STORED = DataLoading(size_px=SIZE_PX, flip=False, redraw_masks=False)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_loader_and_pipeline_make_the_same_tensors(pipe: LayerDecompositionPipeline, scale: int) -> None:
    parts, maps = scene(3, scale)
    sample = make_sample(parts, 0, maps, 0, 0, AS_STORED)
    with caught(pipe) as found:
        pipe(parts.composite, mask=parts.imperfect_masks[sample.layers[0]], maps=maps)
    assert_same(sample, found[0])
    assert all(picture.std() > 0.005 for picture in sample.maps.values()), "a map that shows nothing compares nothing"


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_so_they_do_at_any_scale_and_in_any_form(
    pipe: LayerDecompositionPipeline, seed: int, scale: int, form: int
) -> None:
    parts, maps = scene(seed, scale)
    sample = make_sample(parts, 0, maps, 0, 0, AS_STORED)
    composite, mask = parts.composite, parts.imperfect_masks[sample.layers[0]]
    pictures: list[Any] = [
        composite,
        torch.from_numpy(composite.copy()).permute(2, 0, 1),
        composite.astype(np.float32) / np.float32(255),
        [composite],
    ]
    given_maps: dict[str, Any] = maps if form % 2 else {name: torch.from_numpy(m.copy()) for name, m in maps.items()}
    with caught(pipe) as found:
        pipe(pictures[form], mask=mask, maps=given_maps)
    assert len(found) == 1
    assert_same(sample, found[0])


def test_made_maps_are_those_of_the_shards(pipe: LayerDecompositionPipeline) -> None:
    # As an adapter says what its training data was made by, and at which size.
    parts, maps = scene(5, 3)
    sample = make_sample(parts, 0, maps, 0, 0, AS_STORED)
    recipes = {maker.name: maker.recipe for maker in make_makers(MapsConfig())}
    pipe.make_maps = AutoMaps.of(recipes, picture_px=96 * 3)
    try:
        with caught(pipe) as found:
            pipe(parts.composite, mask=parts.imperfect_masks[sample.layers[0]])
            pipe(parts.composite, mask=parts.imperfect_masks[sample.layers[0]], maps={"depth": maps["depth"]})
    finally:
        pipe.make_maps = None
    assert len(found) == 2
    for prepared in found:
        assert_same(sample, prepared)


def test_without_makers_a_call_goes_without_maps(pipe: LayerDecompositionPipeline) -> None:
    parts, maps = scene(1, 1)
    with caught(pipe) as found:
        pipe(parts.composite, mask=parts.imperfect_masks[0])
        pipe(parts.composite, mask=parts.imperfect_masks[0], maps={"edges": maps["edges"]})
    assert found[0].maps == {} and list(found[1].maps) == ["edges"]


def test_pictures_of_a_batch_bring_their_own_maps(pipe: LayerDecompositionPipeline) -> None:
    (one, maps), (two, others) = scene(1, 1), scene(2, 1)
    samples = [make_sample(scene_, 0, maps_, 0, 0, AS_STORED) for scene_, maps_ in ((one, maps), (two, others))]
    masks = [parts.imperfect_masks[sample.layers[0]] for parts, sample in zip((one, two), samples, strict=True)]
    with caught(pipe) as found:
        pipe(
            [one.composite, two.composite],
            mask=masks,
            maps={name: np.stack([maps[name], others[name]]) for name in MAPS},
        )
    for i, sample in enumerate(samples):
        assert torch.equal(found[0].picture_B3HW[i], sample.composite_B3HW[0])
        assert torch.equal(found[0].hole_B1HW[i], sample.hole_B1HW[0])
        assert all(torch.equal(found[0].maps[name][i], sample.maps[name][0]) for name in MAPS)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({"normals": np.zeros((96, 96))}, "this adapter takes the maps edges, segmentation, depth, got normals"),
        ({"edges": np.zeros((96, 96, 3, 1), bool)}, r"edges must be an array or tensor \[H, W\] or \[B, H, W\]"),
        ({"edges": [[True]]}, "edges must be an array or tensor"),
        ({"depth": np.zeros((2, 4, 4), np.uint8)}, "there are 2 maps of depth for 1 pictures"),
    ],
)
def test_what_is_no_map_of_the_picture_is_refused(
    pipe: LayerDecompositionPipeline, maps: dict[str, Any], message: str
) -> None:
    parts, _ = scene(1, 1)
    with pytest.raises(ValueError, match=message):
        pipe(parts.composite, mask=parts.imperfect_masks[0], maps=maps)


def test_truth_follows_the_rules_of_the_picture() -> None:
    parts, maps = scene(4, 4)
    layer = len(parts.layers) - 1
    sample = make_sample(parts, layer, maps, 0, 0, AS_STORED)
    assert sample.layers == (layer,)
    outside = parts.foreground(layer)[..., 3] == 0
    # Where the target is not, the smaller scene without it is the smaller scene.
    blocks = outside.reshape(SIZE_PX, 6, SIZE_PX, 6).all(axis=(1, 3))
    assert blocks.any()
    far = torch.from_numpy(blocks)
    assert torch.equal(sample.background_B3HW[0][:, far], sample.composite_B3HW[0][:, far])
    assert (sample.foreground_B4HW[0][3][far] == -1).all() and (sample.foreground_B4HW[0][:3][:, far] == 0).all()
    mass = (sample.foreground_B4HW[0][3] + 1).mean() / 2 * 255
    assert float(mass) == pytest.approx(parts.foreground(layer)[..., 3].mean(), rel=1e-3)


def test_maps_of_any_stored_form_are_one_picture() -> None:
    # PNGs of shards and arrays of users.
    edges = np.eye(8, dtype=bool)
    members = {"edges.png": encode_mask(edges), "depth.png": encode_gray(np.full((4, 4), 9, np.uint16))}
    assert (decode_maps(members, ("edges",))["edges"] == edges).all()
    with pytest.raises(KeyError):
        decode_maps(members)
