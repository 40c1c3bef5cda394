"""The dataset in FiftyOne: what is in it, that a second run adds only what is new, and the way back of tags."""

from pathlib import Path

import numpy as np
import pytest

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_gray, decode_rgb
from evaluation.fiftyone.tags import apply_tags
from evaluation.test_sets.shards import HeldOut
from pipelines.library.exclusions import EXCLUSIONS
from pipelines.shards.reader import read_triplets
from tests.evaluation.fiftyone.conftest import factory_of
from tests.evaluation.fiftyone.way_back import build, composites, gone_after_applying, group_of, load


def test_a_group_shows_the_scene_as_its_shard_has_it(root: Path):
    found = build(root)
    assert (found.num_scenes, found.changes.added) == (8, found.num_scenes + found.num_cases)
    for triplet in read_triplets(str(root)):
        group = group_of(f"train/{triplet.key}")
        layer, composite = group[f"layer{triplet.layer}"], group["composite"]
        shown = decode_rgb(Path(composite.filepath).read_bytes()).astype(int)
        assert np.abs(shown - triplet.composite).mean() < 6  # JPEG
        plate = decode_rgb(Path(group["background"].filepath).read_bytes())
        np.testing.assert_array_equal(plate, triplet.parts.background)
        visible = decode_gray(Path(layer.visible.mask_path).read_bytes())
        np.testing.assert_array_equal(visible > 0, triplet.parts.visible_mask(triplet.layer))
        imperfect = decode_gray(Path(layer.imperfect.mask_path).read_bytes())
        np.testing.assert_array_equal(imperfect > 0, triplet.mask)
        entry = triplet.record["layers"][triplet.layer]
        assert layer.occluded_fraction == entry["occluded_fraction"]
        assert (layer.asset, layer.licence) == (entry["foreground"]["id"], entry["foreground"]["licence"])
        box = composite.layers.detections[triplet.layer]
        left, top, right, bottom = entry["box"]
        size = triplet.composite.shape[0]
        assert box.bounding_box == pytest.approx(
            [left / size, top / size, (right - left) / size, (bottom - top) / size]
        )
        assert (box.asset, box.source, box.occluded_fraction) == (layer.asset, layer.source, layer.occluded_fraction)
        for name in ("edges", "regions"):
            assert Path(composite[name].mask_path).is_file()
        assert Path(composite.depth.map_path).is_file()


def test_masks_are_on_and_views_are_saved(root: Path):
    views = build(root).views
    dataset = load()
    assert {"visible", "imperfect", "layers"} <= set(dataset.app_config.active_fields.paths)
    assert {"most occluded", "worst masks", "semi-transparent", "evaluation failures", "tagged"} <= set(views)
    fractions = dataset.load_saved_view("most occluded").values("occluded_fraction")
    assert fractions == sorted(fractions, reverse=True) and len(fractions) == 8
    overlaps = dataset.load_saved_view("worst masks").values("mask_iou")
    assert overlaps == sorted(overlaps)
    by_source = [view for view in views if view.startswith("source ")]
    assert by_source and all(len(dataset.load_saved_view(view)) for view in by_source)
    assert all(value is not None for value in composites().values("uniqueness"))


def test_a_second_run_adds_only_what_is_new_and_keeps_tags(root: Path):
    build(root, evaluation__inspection__max_scenes="5")
    sample = composites().match({"item": "train/00000001"}).first()
    sample.tags.append("reject")
    sample.save()
    files = {path: path.stat().st_mtime_ns for path in (root / "fiftyone/media").rglob("*.*") if path.is_file()}
    again = build(root)
    assert again.num_scenes == 8 and again.changes.removed == 0
    assert again.changes.kept >= 5 and again.changes.added == again.num_scenes + again.num_cases - again.changes.kept
    assert composites().match({"item": "train/00000001"}).first().tags == ["reject"]
    assert all(path.stat().st_mtime_ns == before for path, before in files.items())
    third = build(root)
    assert (third.changes.added, third.changes.removed, third.near_duplicates) == (0, 0, None)


def test_a_killed_run_is_put_right(root: Path):
    build(root)
    dataset = load()
    group = group_of("train/00000003")
    dataset.delete_samples([group["composite"].id])
    dataset.info["syncing"] = True
    dataset.save()
    half = root / "fiftyone/media/train/000000__/.00000003-abc.77.tmp"
    half.mkdir()
    found = build(root)
    assert (found.changes.added, found.num_scenes) == (1, 8)
    assert not half.exists()
    assert "composite" in group_of("train/00000003")
    assert len(load().select_group_slices("background").match({"key": "00000003", "split": "train"})) == 1


def test_two_rejected_samples_are_gone_and_nothing_else_changed(root: Path):
    build(root)
    rejected = group_of("train/00000000")["layer0"], group_of("train/00000005")["layer0"]
    for sample in rejected:
        sample.tags.append("reject")
        sample.save()
    assert gone_after_applying(root) == {sample.asset for sample in rejected}


def test_tags_on_composites_boxes_and_plates_mean_their_assets(root: Path):
    build(root)
    composite = group_of("train/00000002")["composite"]
    composite.tags.append("relabel")
    composite.save()
    boxed = group_of("train/00000004")["composite"]
    boxed.layers.detections[0].tags.append("reject")
    boxed.save()
    plate = group_of("train/00000006")["background"]
    plate.tags.append("reject")
    plate.save()
    applied = apply_tags(factory_of(root), "demo")
    reasons = {exclusion.id: exclusion.reason for exclusion in applied.new}
    assert reasons[boxed.layers.detections[0].asset] == reasons[plate.asset] == "reject"
    assert set(reasons) == {*composite.assets, boxed.layers.detections[0].asset, plate.asset}
    assert (root / EXCLUSIONS).read_text().count("\n") == applied.num_listed == len(reasons)


def test_another_roots_dataset_is_not_touched(root: Path, tmp_path: Path):
    build(root)
    load().info["root"] = "/somewhere/else"
    dataset = load()
    dataset.info["root"] = "/somewhere/else"
    dataset.save()
    with pytest.raises(BadSetup, match="not from"):
        build(root)
    with pytest.raises(BadSetup, match="not from"):
        apply_tags(factory_of(root), "demo")


def test_predictions_and_scores_stand_beside_the_truth(root: Path):
    from evaluation.config import EvaluationConfig
    from evaluation.methods.classical import classical_recipes
    from evaluation.run import judge

    test_set = HeldOut(str(root / "held_out"))
    methods = classical_recipes()
    table = judge(test_set, methods, EvaluationConfig(), str(root / "report"), root=str(root)).table.to_frame()
    table.loc[(table.image == "00000000-0") & (table.method == methods[0].name), "failed"] = True
    table.to_csv(root / "report/scores.csv", index=False)
    found = build(root)
    assert found.num_cases == len(list(test_set.cases()))
    group = group_of("held_out/00000000-0")
    for method in methods:
        for part in method.gives:
            assert Path(group[f"{method.name} {part}"].filepath).is_file()
    assert {"background", "foreground", "composite"} <= set(group)
    painter = next(method.name for method in methods if "background" in method.gives)
    row = table[(table.image == "00000000-0") & (table.method == painter)].iloc[0]
    figure = group["composite"][f"{painter}_background_psnr_mask"]
    assert figure == pytest.approx(row["background.psnr_mask"])
    failures = load().load_saved_view("evaluation failures")
    assert failures.values("item") == ["held_out/00000000-0"]
    assert group["composite"].failed_methods == [methods[0].name]
    assert build(root).changes.added == 0
