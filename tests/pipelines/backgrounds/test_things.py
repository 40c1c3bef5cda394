"""Photographs in which a net sees too much of salient objects are dropped; the net sees them upright."""

import numpy as np
import pytest

from decoupage.faults import BadSetup
from decoupage.images.codecs import encode_png
from decoupage.maps.segformer import Segformer
from pipelines.backgrounds.stage import BackgroundsStage
from pipelines.backgrounds.things import classes, is_salient, make_labeller, salient_names, salient_share
from pipelines.config import BackgroundConfig, SegmentationConfig
from pipelines.library.catalogue import read_backgrounds
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store


class BrightIsPerson:
    """A labeller: bright pixels are a person, the others sky."""

    recipe = {"model": "bright"}
    batch_size = 2
    id2label = {0: "sky", 7: "person"}

    def __init__(self):
        self.shapes = []

    def inputs(self):
        return {"weights": "none"}

    def labels(self, pictures_HWC):
        assert 1 <= len(pictures_HWC) <= self.batch_size
        self.shapes += [picture.shape for picture in pictures_HWC]
        return [np.where(picture[::4, ::4, 0] > 128, 7, 0).astype(np.uint8) for picture in pictures_HWC]


def half_bright(share):
    rgb = np.zeros((40, 80, 3), np.uint8)
    rgb[:, : int(80 * share)] = 255
    return encode_png(rgb)


def test_classes_are_divided_as_in_the_panoptic_task():
    kinds = {name: row["kind"] for name, row in classes().items()}
    assert sum(kind == "thing" for kind in kinds.values()) == 100 and len(kinds) == 150
    assert kinds["sky"] == kinds["tree"] == "stuff" and kinds["person"] == kinds["car"] == "thing"


def test_salient_objects_are_things_and_leave_an_empty_room_alone():
    salient = set(salient_names())
    assert all(classes()[name]["kind"] == "thing" for name in salient)
    assert {"person", "animal", "car", "bicycle", "bag", "bottle"} <= salient
    room = {"bed", "cabinet", "door", "windowpane", "table", "curtain", "sofa", "chair", "mirror", "lamp"}
    assert room <= set(classes()) and not room & salient


def test_share_counts_labels_of_salient_objects():
    salient = is_salient({0: "sky", 1: "person", 2: "car ", 3: "bed"})
    assert salient_share(np.array([[0, 0, 1, 2, 3]], np.uint8), salient) == 0.4
    assert salient_share(np.full((2, 2), 255, np.uint8), salient) == 0.0


def test_too_many_things_drop_the_photograph(tmp_path):
    photos = Store(str(tmp_path / "photos"))
    for name, share in (("a", 0.1), ("b", 0.6), ("c", 0.4), ("d", 0.0), ("e", 1.0)):
        photos.write(f"{name}.png", half_bright(share))
    photos.write("broken.png", b"no picture")
    header = "file,origin,licence,attribution,caption,rotation_deg_ccw\n"
    photos.write("attribution.csv", (header + "a.png,a,CC0,me,,90\n").encode())
    labeller = BrightIsPerson()
    config = BackgroundConfig(folder=photos.root, min_side_px=16, max_thing_share=0.5)
    store = Store(str(tmp_path / "store"))
    report = run_stage(BackgroundsStage(photos, config, "photos", labeller), store, SerialEngine())
    assert {record.path for record in read_backgrounds(store, "backgrounds")} == {"a.png", "c.png", "d.png"}
    assert {drop["id"]: drop["reason"] for drop in report.drops} == {
        "b.png": "things",
        "e.png": "things",
        "broken.png": "bad_image",
    }
    assert labeller.shapes[0] == (80, 40, 3) and set(labeller.shapes[1:]) == {(40, 80, 3)}


def test_a_net_with_other_classes_stops_before_work(tmp_path):
    photos = Store(str(tmp_path / "photos"))
    photos.write("a.png", half_bright(0))
    labeller = BrightIsPerson()
    labeller.id2label = {0: "region 0"}
    config = BackgroundConfig(folder=photos.root, min_side_px=16, max_thing_share=0.5)
    with pytest.raises(BadSetup, match="ADE20K"):
        run_stage(BackgroundsStage(photos, config, "photos", labeller), Store(str(tmp_path / "store")), SerialEngine())
    assert not (tmp_path / "store").exists()


def test_the_labeller_is_that_of_the_maps():
    assert make_labeller(1.0, SegmentationConfig()) is None
    assert isinstance(make_labeller(0.3, SegmentationConfig(model="segformer")), Segformer)
    with pytest.raises(BadSetup, match=r"maps\.segmentation\.model"):
        make_labeller(0.3, SegmentationConfig())
