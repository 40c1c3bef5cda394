"""All objects of a picture: which of the segmenter's answers are objects of their own, and who stands in front."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadOutput
from decoupage.images.reading import Picture
from decoupage.selection import everything
from decoupage.selection.everything import GRID, MIN_SHARE, find_everything, whole_objects
from decoupage.selection.nets import Segmenter
from decoupage.selection.objects import Networks, Selected, Wanted, front_to_back, select
from tests.decoupage.selection.tiny_nets import save_segmenter

SIDE = 64
PICTURE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return mask


CAR, WHEEL, TREE = rectangle(4, 30, 30, 50), rectangle(6, 40, 14, 50), rectangle(40, 10, 54, 44)
SKY, SPECK = rectangle(0, 0, SIDE, 9), rectangle(60, 60, 62, 62)


class Seeing:
    """A SAM 2 that knows five things: a click on one answers with it, with it by a pixel larger, and with nothing."""

    device, dtype = "cpu", torch.float32

    def __init__(self, model, quality=0.9, sharpness=10.0):
        self.config, self.quality, self.sharpness, self.num_seen = model.config, quality, sharpness, 0

    def get_image_embeddings(self, pixel_values):
        self.num_seen += 1
        return [pixel_values]

    def __call__(self, image_embeddings, input_points, input_labels, multimask_output):
        assert multimask_output and input_labels.shape == input_points.shape[:3] and (input_labels == 1).all()
        masks, quality = [], []
        for x, y in input_points[0, :, 0].tolist():
            # The smallest thing there: a wheel before its car.
            hit = next((thing for thing in (WHEEL, SPECK, CAR, TREE, SKY) if thing[int(y), int(x)]), None)
            best = np.zeros((SIDE, SIDE), bool) if hit is None else hit
            masks.append([best, best, np.zeros((SIDE, SIDE), bool)])
            quality.append([self.quality, self.quality - 0.05, 0.1])
        logits = torch.from_numpy(np.array(masks)).float() * 2 * self.sharpness - self.sharpness
        return type("Output", (), {"iou_scores": torch.tensor([quality]), "pred_masks": logits[None]})


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter.load(save_segmenter(tmp_path_factory.mktemp("nets") / "sam2"))


def test_objects_are_found_once_each_and_neither_parts_nor_surroundings(segmenter):
    seeing = replace(segmenter, model=Seeing(segmenter.model))
    found = find_everything(seeing, PICTURE)
    assert [mask.tolist() for mask in found] == [CAR.tolist(), TREE.tolist()]
    assert seeing.model.num_seen == 1, "the picture is encoded once"


@pytest.mark.parametrize("changes", [{"quality": 0.7}, {"sharpness": 0.5}])
def test_doubtful_answers_are_not_taken(segmenter, changes):
    with pytest.raises(ValueError, match=r"--all: .* finds no object of at least 1%"):
        find_everything(replace(segmenter, model=Seeing(segmenter.model, **changes)), PICTURE)


def test_answers_that_are_not_finite_are_the_networks_fault(segmenter):
    with pytest.raises(BadOutput, match="get its weights again"):
        find_everything(replace(segmenter, model=Seeing(segmenter.model, sharpness=float("inf"))), PICTURE)


def test_real_layers_take_what_they_are_given(segmenter, monkeypatch):
    """The network's own code runs; of random weights no answer is sound."""
    with pytest.raises(ValueError, match="finds no object"):
        find_everything(segmenter, PICTURE)
    monkeypatch.setattr(everything, "MIN_IOU", -100.0)
    monkeypatch.setattr(everything, "STABILITY_OFFSET", 0.0)
    monkeypatch.setattr(everything, "whole_objects", list)
    found = find_everything(segmenter, PICTURE)
    assert found and all(mask.shape == (SIDE, SIDE) and mask.dtype == bool for mask in found)


boxes = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(2, 24), st.integers(2, 24))


@given(st.lists(boxes, max_size=8))
def test_no_kept_mask_lies_in_another(found):
    masks = [rectangle(x, y, x + width, y + height) for x, y, width, height in found]
    kept = whole_objects(masks)
    assert all(mask.mean() >= MIN_SHARE for mask in kept)
    for i, mask in enumerate(kept):
        assert not any((mask & other).sum() > 0.9 * mask.sum() for other in kept[:i])
    assert [int(mask.sum()) for mask in kept] == sorted((int(mask.sum()) for mask in kept), reverse=True)


def test_the_smallest_object_that_counts_is_clicked_on():
    side = np.sqrt(MIN_SHARE) * SIDE
    assert side >= SIDE / GRID


def test_the_nearest_comes_first():
    objects = [Selected("object", mask, {"all": True}) for mask in (CAR, TREE)]
    depth = np.where(TREE, 0.8, 0.2).astype(np.float32)
    by_depth, by_place = front_to_back(objects, depth, "a map"), front_to_back(objects, None, "")
    assert [each.mask is TREE for each in by_depth] == [True, False]
    assert [each.mask is CAR for each in by_place] == [True, False], "its lowest point is lower"
    assert [each.name for each in by_depth] == ["object 1", "object 2"]
    assert by_depth[0].said["ordered_by"] == "depth by a map" and by_place[0].said["ordered_by"] == "lowest point"


def test_all_needs_a_network_and_nothing_else_is_said():
    picture = Picture(PICTURE, None, (SIDE, SIDE), 1)
    with pytest.raises(ValueError, match=r"--all needs --segmenter, a SAM 2 such as facebook/sam2"):
        select(Wanted(everything=True), picture, Networks())
    with pytest.raises(ValueError, match=r"give one kind, got --box and --all"):
        Wanted(boxes=["1,1,2,2"], everything=True)
