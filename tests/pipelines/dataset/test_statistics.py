"""Distributions against counts made by hand."""

import json
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from pipelines.dataset.figures import draw_figures
from pipelines.dataset.index import Asset, count_assets, data_version, read_shards
from pipelines.dataset.samples import choose
from pipelines.dataset.statistics import Statistics, measure, read_layers, read_tallies
from pipelines.dataset.uses import Uses, measure_uses
from pipelines.stages.store import Store

SHARDS = ["00000", "00001", "00002"]


@pytest.fixture(scope="module")
def layers(shard_files: Store):
    return read_layers(shard_files, read_shards(shard_files, SHARDS))


@pytest.fixture(scope="module")
def statistics(shard_files: Store, layers) -> Statistics:
    manifests = read_shards(shard_files, SHARDS)
    return measure(manifests, layers, read_tallies(shard_files, SHARDS), count_assets(shard_files, manifests))


def test_counts_are_those_of_the_scenes(statistics: Statistics):
    assert statistics.scenes_by_num_layers == {"1": 4, "2": 3, "3": 3}
    assert statistics.num_layers == 4 + 6 + 9 == sum(statistics.categories.values())
    assert list(statistics.scenes_by_difficulty) == ["easy", "medium", "hard"]
    assert statistics.semi_transparent_share == round(3 / 19, 4)
    assert statistics.licences["CC-BY-2.0"] == {"foregrounds": 0, "backgrounds": 10}
    assert sum(counts["foregrounds"] for counts in statistics.licences.values()) == 19


def test_refusals_are_summed_over_shards_and_drops_are_counted_by_stage(statistics: Statistics):
    assert statistics.rejected_draws == {"no_room": sum(i % 3 for i in range(10))}
    assert statistics.drops == {"foregrounds-mulan": {"truncated": 1}}


def test_spreads_are_quantiles_of_the_measured_values(statistics: Statistics, layers):
    assert set(statistics.mask_iou) == {"none", "dilation", "box", "missing_part"}
    assert statistics.mask_iou["none"].q05 == 1.0
    for name, spread in statistics.mask_iou.items():
        values = layers.loc[layers["mask_error"] == name, "mask_iou"]
        assert spread.num_layers == len(values)
        assert spread.median == round(float(np.median(values)), 4)
        assert spread.q05 <= spread.q25 <= spread.median <= spread.q75 <= spread.q95
    assert sum(spread.num_layers for spread in statistics.occlusion.values()) == statistics.num_layers


def test_areas_of_masks_and_enlargement_are_those_of_the_rows(statistics: Statistics, layers):
    areas = statistics.mask_area_ratio
    assert set(areas) == {*statistics.mask_iou, "all"} and areas["all"].num_layers == 19
    assert areas["none"].q05 == areas["none"].q95 == 1.0
    assert areas["all"].median == round(float(layers["mask_area_ratio"].median()), 4)
    assert areas["missing_part"].q95 < 1.0 < areas["dilation"].q05
    measured = statistics.resolution
    assert {name: spread.num_layers for name, spread in measured.items()} == {
        "cutout_enlargement": 19, "background_enlargement": 10, "sharpness_log2_ratio": 16,
    }  # fmt: skip
    assert measured["sharpness_log2_ratio"].median == round(float(np.log2(41 / 81)), 4)


def test_uses_are_counted_over_the_whole_library():
    cups = [Asset("foreground", "mulan", f"cup-{i}", "CC0-1.0", "", "ab" * 32) for i in range(3)]
    photo = Asset("background", "packaged", "photo", "CC0-1.0", "", "cd" * 32)
    uses = measure_uses({cups[0]: 6, cups[1]: 1, cups[2]: 1, photo: 7}, {"foreground mulan": 20})
    assert uses["foreground mulan"] == Uses(
        *(20, 0.85, 0, 0.0, 6, 0.875), histogram={"0": 17, "1": 2, "2": 0, "3-4": 0, "5-8": 1}
    )
    # Without a library beside the shards, the assets are those shown.
    assert uses["background packaged"] == Uses(
        *(1, 0.0, 7, 7.0, 7, 1.0), histogram={"0": 0, "1": 0, "2": 0, "3-4": 0, "5-8": 1}
    )


def test_statistics_survive_json(statistics: Statistics):
    assert Statistics.from_dict(json.loads(json.dumps(asdict(statistics)))) == statistics


def test_the_data_version_follows_the_contents_only(shard_files: Store):
    manifests = read_shards(shard_files, SHARDS)
    assert data_version(manifests) == data_version(dict(manifests))
    fewer = {shard: manifest for shard, manifest in manifests.items() if shard != "00002"}
    assert data_version(fewer) != data_version(manifests)


def test_sheets_show_each_scene_once_and_the_right_ones(layers):
    picks = choose(layers, seed=5, num=4)
    for found in picks.values():
        assert max(Counter(pick.key for pick in found).values()) == 1
    worst = layers.loc[layers["mask_iou"].idxmin()]
    most = layers.loc[layers["occluded_fraction"].idxmax()]
    assert (picks["worst_masks"][0].key, picks["worst_masks"][0].layer) == (worst["key"], worst["layer"])
    assert (picks["most_occluded"][0].key, picks["most_occluded"][0].layer) == (most["key"], most["layer"])


def test_random_samples_depend_on_the_seed_only(layers):
    assert choose(layers, seed=5) == choose(layers, seed=5)
    assert choose(layers, seed=5, num=5)["random"] != choose(layers, seed=6, num=5)["random"]


def test_nothing_hidden_means_no_sheet_of_hidden_things(layers):
    assert choose(layers.assign(occluded_fraction=0.0), seed=5)["most_occluded"] == []


def test_figures_are_the_same_bytes_each_time(statistics: Statistics, layers, config):
    first = draw_figures(statistics, layers, config.scenes)
    assert set(first) == {"overview.png", "mask_iou.png", "occlusion.png", "sharpness.png"}
    assert first == draw_figures(statistics, layers, config.scenes)
