"""SegFormer and Depth-Anything-V2 give what transformers' own code gives, whole batches at a time."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import DepthAnythingForDepthEstimation, SegformerForSemanticSegmentation, pipeline
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from decoupage.faults import BadOutput
from decoupage.images.codecs import decode_gray
from decoupage.maps import net
from decoupage.maps.depth_anything import DepthAnything
from decoupage.maps.segformer import Segformer
from pipelines.licences.terms import licence_of
from tests.decoupage.maps.nets import CLASSES, depth, save_depth_anything, save_segformer, segmentation


@pytest.fixture(scope="module")
def segformer(tmp_path_factory):
    return save_segformer(tmp_path_factory.mktemp("segformer"))


@pytest.fixture(scope="module")
def depth_anything(tmp_path_factory):
    return save_depth_anything(tmp_path_factory.mktemp("depth"))


def pictures(*sizes: tuple[int, int]) -> list[np.ndarray]:
    """Smooth noise, [height, width, 3] each."""
    rng = np.random.default_rng(4)
    coarse = [rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in sizes]
    return [
        cv2.resize(blobs, size[::-1], interpolation=cv2.INTER_CUBIC) for blobs, size in zip(coarse, sizes, strict=True)
    ]


UNEQUAL = [(80, 80), (64, 112), (80, 80), (96, 60), (80, 80), (80, 80), (64, 112)]


def test_labels_are_those_of_transformers(segformer):
    labels = Segformer(segmentation(segformer)).labels(pictures(*UNEQUAL))
    model = SegformerForSemanticSegmentation.from_pretrained(segformer).eval()
    processor = SegformerImageProcessorPil.from_pretrained(segformer, size={"height": 64, "width": 64})
    for rgb, found in zip(pictures(*UNEQUAL), labels, strict=True):
        with torch.inference_mode():
            output = model(**processor(Image.fromarray(rgb), return_tensors="pt"))
        expected = processor.post_process_semantic_segmentation(output)[0].numpy()
        assert found.dtype == np.uint8
        assert found.shape == (16, 16), "a quarter of what the net is given"
        assert np.mean(found == expected) > 0.99
    assert len(np.unique(np.concatenate(labels))) > 1


def test_depth_is_that_of_transformers_pipeline(depth_anything):
    """The pipeline resizes its prediction to the picture, so pictures have the net's own size here."""
    given = pictures((56, 56), (56, 112), (56, 56), (56, 56), (112, 56))
    depths = DepthAnything(depth(depth_anything)).depth(given)
    processor = DPTImageProcessorPil.from_pretrained(depth_anything, size={"height": 56, "width": 56})
    model = DepthAnythingForDepthEstimation.from_pretrained(depth_anything)
    estimate = pipeline("depth-estimation", model=model, image_processor=processor, device="cpu")
    for rgb, found in zip(given, depths, strict=True):
        result = estimate(Image.fromarray(rgb))
        predicted = result["predicted_depth"].numpy()
        assert found.dtype == np.float32
        assert found.shape == rgb.shape[:2]
        assert np.abs(found - (predicted - predicted.min()) / np.ptp(predicted)).max() < 1e-3
        # The pipeline's own picture is cut to 8 bits.
        assert np.abs(found * 255 - np.asarray(result["depth"])).max() < 1.3
        assert (found.min(), found.max()) == (0.0, 1.0)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_batches_give_what_single_pictures_give(segformer, depth_anything, batch_size):
    """To within a 16-bit level or two of depth, and a pixel in a hundred on the border of two classes."""
    given = pictures(*UNEQUAL)
    estimator = DepthAnything(depth(depth_anything, batch_size=batch_size))
    for found, single in zip(estimator.depth(given), (estimator.depth([rgb])[0] for rgb in given), strict=True):
        assert np.abs(found - single).max() < 3e-5
    segmenter = Segformer(segmentation(segformer, batch_size=batch_size))
    for found, single in zip(segmenter.labels(given), (segmenter.labels([rgb])[0] for rgb in given), strict=True):
        assert np.mean(found == single) > 0.99


def test_a_pictures_bytes_do_not_depend_on_its_neighbours(segformer, depth_anything):
    """Every batch is filled up: so a resumed run, whose batches are cut elsewhere, makes the same shards."""
    given = pictures(*[(80, 80)] * 7)
    for maker in (
        Segformer(segmentation(segformer)),
        DepthAnything(depth(depth_anything)),
    ):
        together = maker.pngs(given)
        assert [maker.pngs([rgb])[0] for rgb in given] == together
        assert maker.pngs(given[2:]) == together[2:]


def test_the_net_is_given_full_batches_of_one_shape(depth_anything, monkeypatch):
    shapes = []
    original = net.Net._compute
    monkeypatch.setattr(
        net.Net, "_compute", lambda self, inputs, read: (shapes.append(inputs.shape), original(self, inputs, read))[1]
    )
    DepthAnything(depth(depth_anything)).depth(pictures(*UNEQUAL))
    assert sorted(shapes) == [(3, 3, 56, 56), (3, 3, 56, 56), (3, 3, 56, 98), (3, 3, 84, 56)]


def test_nothing_gives_nothing(segformer, depth_anything):
    assert Segformer(segmentation(segformer)).labels([]) == []
    assert DepthAnything(depth(depth_anything)).depth([]) == []


def test_a_flat_picture_is_neither_near_nor_far(tmp_path):
    folder = save_depth_anything(tmp_path)
    files = DepthAnything(depth(folder)).files
    loaded = net.load_net("depth_anything", files, "cpu")
    with torch.no_grad():
        loaded.model.head.conv3.weight.zero_()
    assert (DepthAnything(depth(folder)).depth(pictures((56, 56)))[0] == 0.5).all()


def test_values_that_are_not_finite_stop_the_run(tmp_path):
    folder = save_segformer(tmp_path)
    loaded = net.load_net("segformer", Segformer(segmentation(folder)).files, "cpu")
    with torch.no_grad():
        loaded.model.decode_head.classifier.bias[1] = float("inf")
    with pytest.raises(BadOutput, match="gave logits that are not finite"):
        Segformer(segmentation(folder)).labels(pictures((64, 64)))


def test_classes_have_names(segformer):
    segmenter = Segformer(segmentation(segformer))
    assert segmenter.id2label == CLASSES
    stored = decode_gray(segmenter.pngs(pictures((80, 80)))[0])
    assert stored.max() < 3


def test_what_decides_bytes_and_what_does_not(segformer, depth_anything, tmp_path):
    moved = save_segformer(tmp_path / "elsewhere")
    here = Segformer(segmentation(segformer))
    there = Segformer(segmentation(moved, batch_size=64, device="auto"))
    assert here.recipe == there.recipe
    assert here.recipe == {"model": "segformer", "weights": "nvidia/segformer-b5-finetuned-ade-640-640", "size_px": 64}
    assert here.inputs() == there.inputs()
    assert here.recipe != Segformer(segmentation(segformer, size_px=32)).recipe
    assert here.recipe != Segformer(segmentation(segformer, weights="someone/else")).recipe
    assert here.inputs() != DepthAnything(depth(depth_anything)).inputs()


def test_a_recipe_needs_no_weights():
    """The code location plans a profile on machines that have none."""
    assert Segformer(segmentation("/nowhere")).recipe["size_px"] == 64


@pytest.mark.parametrize(
    ("weights", "licence"),
    [
        ("depth-anything/Depth-Anything-V2-Small-hf", "apache-2.0"),
        ("depth-anything/Depth-Anything-V2-Large-hf", "cc-by-nc-4.0"),
        ("someone/else", "unknown"),
    ],
)
def test_makers_tell_the_licence_of_their_weights(weights, licence):
    assert licence_of(DepthAnything(depth("/nowhere", weights=weights)).weights) == licence
    assert licence_of(Segformer(segmentation("/nowhere")).weights) == "nvidia-non-commercial"


@pytest.mark.gpu
def test_a_gpu_in_half_precision_agrees_with_a_cpu(segformer, depth_anything):
    given = pictures(*UNEQUAL)
    depths = [DepthAnything(depth(depth_anything, device=device)).depth(given) for device in ("cpu", "cuda")]
    assert max(np.abs(one - other).max() for one, other in zip(*depths, strict=True)) < 0.02
    labels = [Segformer(segmentation(segformer, device=device)).labels(given) for device in ("cpu", "cuda")]
    assert np.mean([np.mean(one == other) for one, other in zip(*labels, strict=True)]) > 0.97
