"""SAM 2 and Grounding DINO as they are asked: what they are given, what of their answers is taken, and their faults."""

import json
import shutil
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch

from decoupage.faults import BadOutput, BadSetup
from decoupage.images.reading import read_picture
from decoupage.selection import nets
from decoupage.selection.nets import Detector, Segmenter
from decoupage.selection.objects import Networks, Wanted, select
from decoupage.selection.said import Box, Point
from tests.decoupage.selection.tiny_nets import SIDE_PX, save_detector, save_segmenter

HEIGHT, WIDTH = 40, 56
PICTURE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("nets")
    return {"segmenter": save_segmenter(root / "sam2"), "detector": save_detector(root / "dino")}


@pytest.fixture(scope="module")
def segmenter(folders):
    return Segmenter.load(folders["segmenter"])


@pytest.fixture(scope="module")
def detector(folders):
    return Detector.load(folders["detector"])


class Seeing:
    """A SAM 2 that keeps what it is given and answers by hand: three masks, of which the second is the best."""

    device, dtype = "cpu", torch.float32

    def __init__(self, model, halves=("left", "right", "left")):
        self.config, self.halves = model.config, halves

    def __call__(self, **given):
        self.given = given
        logits = torch.full((1, 1, 3, 16, 16), -1.0)
        for number, half in enumerate(self.halves):
            logits[0, 0, number, :, slice(0, 8) if half == "left" else slice(8, 16)] = 1.0
        return type("Output", (), {"iou_scores": torch.tensor([[[0.2, 0.9, 0.5]]]), "pred_masks": logits})


def test_the_best_answer_comes_back_at_the_pictures_size(segmenter):
    seeing = replace(segmenter, model=Seeing(segmenter.model))
    mask = seeing.of_box(PICTURE, Box(8, 10, 28, 20))
    assert mask.shape == (HEIGHT, WIDTH) and mask[:, WIDTH // 2 :].all() and not mask[:, : WIDTH // 2].any()


def test_boxes_and_clicks_are_squeezed_as_the_picture_is(segmenter):
    seeing = replace(segmenter, model=Seeing(segmenter.model))
    seeing.of_box(PICTURE, Box(14, 10, 28, 20))
    given = seeing.model.given
    assert given["pixel_values"].shape == (1, 3, SIDE_PX, SIDE_PX) and not given["multimask_output"]
    assert given["input_boxes"].tolist() == [[[16.0, 16.0, 32.0, 32.0]]]
    seeing.of_points(PICTURE, (Point(13, 9), Point(27, 19, is_object=False)))
    given = seeing.model.given
    np.testing.assert_allclose(given["input_points"][0, 0], [[13.5 * 8 / 7, 9.5 * 1.6], [27.5 * 8 / 7, 19.5 * 1.6]])
    assert given["input_labels"].tolist() == [[[1, 0]]] and not given["multimask_output"]
    seeing.of_points(PICTURE, (Point(13, 9),))
    assert seeing.model.given["multimask_output"], "one click may mean a part or the whole"


def test_the_picture_is_normalised_as_transformers_does_it(segmenter):
    """In the middle of a picture of one colour any resampling gives that colour."""
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    seeing = replace(segmenter, model=Seeing(segmenter.model))
    seeing.of_box(np.full((HEIGHT, WIDTH, 3), (255, 128, 0), np.uint8), Box(1, 1, 9, 9))
    expected = (np.array([1.0, 128 / 255, 0.0]) - IMAGENET_DEFAULT_MEAN) / IMAGENET_DEFAULT_STD
    np.testing.assert_allclose(seeing.model.given["pixel_values"][0, :, 32, 32], expected, rtol=1e-5)


@pytest.mark.parametrize("points", [(Point(10, 10),), (Point(10, 10), Point(40, 30, is_object=False))])
def test_the_class_of_the_published_network_answers(segmenter, points):
    first, again = segmenter.of_points(PICTURE, points), segmenter.of_points(PICTURE, points)
    assert first.shape == (HEIGHT, WIDTH) and first.dtype == bool and np.array_equal(first, again)


def test_what_is_not_finite_or_finds_nothing_is_no_mask(segmenter, folders):
    broken = Segmenter.load(folders["segmenter"])
    with torch.no_grad():
        for parameter in broken.model.mask_decoder.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(BadOutput, match="gave masks that are not finite"):
        broken.of_box(PICTURE, Box(1, 1, 9, 9))
    empty = replace(segmenter, name="sam", model=Seeing(segmenter.model, halves=()))
    with pytest.raises(ValueError, match="--point 3,4: sam finds no object there"):
        empty.of_points(PICTURE, (Point(3, 4),))


def test_words_become_the_likeliest_box(detector, monkeypatch):
    monkeypatch.setattr(nets, "BOX_FROM", 0.0)
    box = detector.of_text(PICTURE, " The red car.")
    asked = detector.processor(images=nets.Image.fromarray(PICTURE), text="the red car.", return_tensors="pt")
    with torch.inference_mode():
        output = detector.model(**asked)
    x, y, width, height = output.pred_boxes[0, int(output.logits.sigmoid().max(-1).values[0].argmax())].tolist()
    edges = (x - width / 2) * WIDTH, (y - height / 2) * HEIGHT, (x + width / 2) * WIDTH, (y + height / 2) * HEIGHT
    expected = Box(*(max(0, round(edge)) for edge in edges)).within((HEIGHT, WIDTH))
    np.testing.assert_allclose(astuple(box), astuple(expected), atol=1)  # Edges half-way between pixels.


def test_words_that_mean_nothing_in_the_picture_are_refused(detector, monkeypatch):
    monkeypatch.setattr(nets, "BOX_FROM", 1.0)
    with pytest.raises(ValueError, match=r"--text 'a car': .* finds nothing like it: try other words, or --box"):
        detector.of_text(PICTURE, "a car")


def picture(tmp_path):
    nets.Image.fromarray(PICTURE).save(tmp_path / "photo.png")
    return read_picture((tmp_path / "photo.png").read_bytes())


@pytest.mark.parametrize("with_segmenter", [False, True])
def test_words_and_boxes_say_in_the_report_what_found_them(folders, tmp_path, monkeypatch, with_segmenter):
    monkeypatch.setattr(nets, "BOX_FROM", 0.0)
    segmenter = folders["segmenter"] if with_segmenter else None
    (found,) = select(Wanted(texts=["the car"]), picture(tmp_path), Networks(segmenter, folders["detector"]))
    assert (found.name, found.said["text"], found.said["box_by"]) == ("the car", "the car", folders["detector"])
    assert found.by == (segmenter or "GrabCut") and json.dumps(found.said) and found.mask.any()


def test_weights_that_are_not_here_are_named_with_what_gets_them(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"--segmenter facebook/sam2.1-hiera-small: .*`hf download facebook/sam2"):
        Segmenter.load(nets.SEGMENTER)
    with pytest.raises(ValueError, match=r"--detector IDEA-Research/grounding-dino-tiny: .*get it with `hf download"):
        select(Wanted(texts=["a car"]), picture(tmp_path), Networks())
    shutil.copytree(folders["detector"], tmp_path / "part")
    (tmp_path / "part" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"has no tokenizer\.json; a folder needs config\.json"):
        Detector.load(str(tmp_path / "part"))
    with pytest.raises(BadSetup, match=r"lacks .* tensors of sam2"):
        Segmenter.load(folders["detector"])
