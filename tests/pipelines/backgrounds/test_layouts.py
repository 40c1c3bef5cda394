"""Layouts: what a photograph can carry, its horizon and its ground plane, from labels and inverse depth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from decoupage.images.codecs import encode_png
from decoupage.maps.depth import DarkChannel
from decoupage.maps.segformer import Segformer
from pipelines.backgrounds.ground import find_ground
from pipelines.backgrounds.layouts import LayoutsStage, NetworkSource, make_layout, network_source
from pipelines.backgrounds.stage import BackgroundsStage
from pipelines.backgrounds.things import classes, supports
from pipelines.config import BackgroundConfig, DepthConfig, MapsConfig, SegmentationConfig
from pipelines.library.catalogue import read_backgrounds
from pipelines.library.layout import SUPPORTS, Layout, offers, offers_of, support_codes, with_layouts
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.decoupage.maps.nets import save_segformer

CODES = {name: code for code, name in enumerate(SUPPORTS, 1)}


def meadow(horizon, height=60, width=80, noise=0.0, seed=0):
    """Sky above the horizon (a share of the height), ground below it, and inverse depth of a level camera."""
    rows = (np.arange(height) + 0.5) / height
    support = np.where(rows < horizon, CODES["sky"], CODES["ground"]).astype(np.uint8)
    depth = np.maximum(rows - horizon, 0) / (1 - horizon)
    grain = noise * np.random.default_rng(seed).standard_normal((height, width))
    inverse_depth = np.clip(depth[:, None] + grain, 0, 1).astype(np.float32)
    return np.repeat(support[:, None], width, 1), inverse_depth


class Drawn:
    """A `LayoutSource` by hand: the upper part is sky, from the first bright row on there is floor."""

    recipe = {"source": "drawn"}
    batch_size = 2
    in_process = False
    id2label = {3: "sky", 9: "floor"}

    def inputs(self):
        return {"labels": "v1"}

    def see(self, pictures_HWC):
        assert 1 <= len(pictures_HWC) <= self.batch_size
        labels = [np.where(picture[..., 0] > 128, 9, 3).astype(np.uint8) for picture in pictures_HWC]
        return [(label, None) for label in labels]


def photograph(horizon, height=120, width=90):
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[round(horizon * height) :] = 200
    return rgb


@pytest.fixture
def photographs(tmp_path):
    folder = Store(str(tmp_path / "photos"))
    for name, horizon in (("a", 0.3), ("b", 0.5), ("c", 0.99)):
        folder.write(f"{name}.png", encode_png(photograph(horizon)))
    folder.write("turned.png", encode_png(np.rot90(photograph(0.4), -1)))
    header = "file,origin,licence,attribution,caption,rotation_deg_ccw\n"
    folder.write("attribution.csv", (header + "turned.png,turned,CC0,me,,90\n").encode())
    return folder


def staged(store, photographs, source):
    index = BackgroundsStage(photographs, BackgroundConfig(folder=photographs.root, min_side_px=16, num_shards=2), "t")
    run_stage(index, store, SerialEngine())
    return LayoutsStage(store, photographs, index, source)


def test_every_class_of_ade20k_has_a_known_support():
    assert set(supports()) == set(classes()) and set(supports().values()) == {*SUPPORTS, ""}
    assert supports()["road"] == "ground" and supports()["sky"] == "sky" and supports()["wall"] == ""


def test_labels_become_supports_and_other_classes_stop():
    codes = support_codes(supports(), {0: "sky", 7: "Sea ", 2: "wall"}, "this")
    assert codes[[0, 7, 2, 255]].tolist() == [CODES["sky"], CODES["water"], 0, 0]
    with pytest.raises(BadSetup, match=r"this needs .* ADE20K"):
        support_codes(supports(), {0: "region 0"}, "this")


@given(st.integers(2, 300), st.integers(2, 300), st.integers(1, 50), st.integers(1, 50), st.integers(0, 99))
def test_a_layout_survives_its_file_and_covers_the_picture(height, width, h, w, seed):
    rng = np.random.default_rng(seed)
    support = rng.integers(0, 4, (h, w)).astype(np.uint8)
    layout = make_layout(support, rng.random((h, w)).astype(np.float32), (height, width))
    assert max(layout.support_HW.shape) == 128 and set(np.unique(layout.support_HW)) <= set(np.unique(support))
    again = Layout.decode(layout.encode())
    assert np.array_equal(again.support_HW, layout.support_HW)
    assert np.array_equal(again.inverse_depth_HW, layout.inverse_depth_HW)


@given(st.floats(0.2, 0.7), st.floats(0.0, 0.03), st.integers(0, 99))
def test_the_horizon_is_where_inverse_depth_vanishes(horizon, noise, seed):
    support, depth = meadow(horizon, noise=noise, seed=seed)
    # The upper third of the ground is hidden by a wall, so that labels alone do not show the horizon.
    support[round(60 * horizon) : round(60 * (horizon + (1 - horizon) / 3))] = 0
    ground = find_ground(Layout(support, depth))
    assert ground.fit > 0.5
    assert abs(ground.horizon - horizon) < 0.05
    assert abs(ground.slope * (1 - horizon) - 1) < 0.15


def test_the_fit_is_robust_and_admits_when_it_is_bad():
    support, depth = meadow(0.4)
    depth[50:, :15] = 0.1  # A sixth of the ground is wrong.
    ground = find_ground(Layout(support, depth))
    assert abs(ground.horizon - 0.4) < 0.05
    assert find_ground(Layout(support, 1 - depth)).fit == 0.0
    noise = np.random.default_rng(0).random(depth.shape).astype(np.float32)
    bad = find_ground(Layout(support, noise))
    assert bad.fit < 0.5 and abs(bad.horizon - 0.4) < 0.05


def test_without_sky_the_offset_is_unknown_and_the_horizon_is_level():
    support, depth = meadow(0.7)
    support[support == CODES["sky"]] = 0
    assert find_ground(Layout(support, depth)).horizon == 0.5
    assert find_ground(Layout(np.zeros_like(support), depth)).horizon == 0.5
    assert find_ground(Layout(np.full_like(support, CODES["sky"]), depth)).horizon > 0.95


def test_a_surface_is_where_depth_grows_and_not_the_front_of_a_table():
    support = np.full((60, 80), CODES["surface"], np.uint8)
    depth = np.full((60, 80), 0.5, np.float32)
    depth[:30] = np.linspace(0.1, 0.5, 30)[:, None]
    cells = make_layout(support, depth, (60, 80)).cells("surface")
    assert cells[:40].all() and not cells[55:].any()
    assert make_layout(support, None, (60, 80)).cells("surface").all()


def test_ground_is_offered_where_its_distance_is_known_and_from_near_by_it_is_a_surface():
    nothing = dict.fromkeys(SUPPORTS, 0.0)
    assert offers(nothing | {"ground": 0.4, "sky": 0.3}, fit=0.0) == "ground sky"
    assert offers(nothing | {"ground": 0.4, "surface": 0.1}, fit=0.9) == "ground surface"
    assert offers(nothing | {"ground": 0.4}, fit=0.0) == ""
    assert offers(nothing | {"ground": 0.9}, fit=0.9) == "surface"


def test_the_stage_sees_photographs_upright_and_fills_the_records(tmp_path, photographs):
    store = Store(str(tmp_path / "store"))
    stage = staged(store, photographs, Drawn())
    report = run_stage(stage, store, SerialEngine())
    assert report.num_items == 4 and not report.drops
    assert run_stage(stage, store, SerialEngine()).num_made == 0
    records = with_layouts(store, read_backgrounds(store, "backgrounds"), stage.shards())
    found = {record.path: (record.offers, round(record.horizon, 1)) for record in records}
    assert found == {
        "a.png": ("ground sky", 0.3),
        "b.png": ("ground sky", 0.5),
        "c.png": ("sky", 1.0),
        "turned.png": ("ground sky", 0.4),
    }
    assert offers_of(store, stage.shards()) == {"sky": 4, "ground": 3}
    turned = next(record for record in records if record.path == "turned.png")
    data = store.read_range(turned.layout_tar, turned.layout_offset, turned.layout_num_bytes)
    assert Layout.decode(data).support_HW.shape == (128, 96)


def test_other_labels_make_the_layouts_again(tmp_path, photographs):
    store = Store(str(tmp_path / "store"))
    run_stage(staged(store, photographs, Drawn()), store, SerialEngine())
    source = Drawn()
    source.inputs = lambda: {"labels": "v2"}
    assert run_stage(staged(store, photographs, source), store, SerialEngine()).num_made == 2


def test_a_lost_photograph_and_a_missing_shard_stop(tmp_path, photographs):
    store = Store(str(tmp_path / "store"))
    stage = staged(store, photographs, Drawn())
    with pytest.raises(BadSetup, match="make the layouts"):
        with_layouts(store, read_backgrounds(store, "backgrounds"), stage.shards())
    whole = photographs.read("a.png")
    photographs.remove("a.png")
    with pytest.raises(BadSetup, match=r"a\.png is missing; restore it"):
        run_stage(stage, store, SerialEngine())
    photographs.write("a.png", whole)
    assert not run_stage(stage, store, SerialEngine()).drops


def test_networks_give_the_same_bytes_every_time(tmp_path, photographs):
    folder = save_segformer(tmp_path / "segformer")
    segmentation = SegmentationConfig(model="segformer", folder=str(folder), size_px=64, batch_size=2, device="cpu")
    source = network_source(MapsConfig(segmentation=segmentation, depth=DepthConfig(size_px=64)))
    assert isinstance(source, NetworkSource) and isinstance(source.segmentation, Segformer)
    assert isinstance(source.depth, DarkChannel)
    reports = []
    for name in ("one", "two"):
        store = Store(str(tmp_path / name))
        reports.append(run_stage(staged(store, photographs, source), store, SerialEngine()))
    one, two = ([manifest.tar_sha256 for manifest in report.shards.values()] for report in reports)
    assert one == two and reports[0].num_items == 4


def test_supported_placement_needs_a_network_with_classes():
    with pytest.raises(BadSetup, match=r"maps\.segmentation\.model"):
        network_source(MapsConfig())
