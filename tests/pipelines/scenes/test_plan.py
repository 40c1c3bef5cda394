"""Plans follow the profile's distributions, and are functions of recipe and key."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import OcclusionConfig, ScenesConfig, SizeConfig
from pipelines.config.scenes import SIZE_CLASSES
from pipelines.scenes.plan import occluders_larger, plan_scene
from tests.library import scenes_config


def plan_of(config, key):
    """By a library that limits no class."""
    return plan_scene(config, dict.fromkeys(("real", "generated"), config.size.weights), key)


PLANS = [plan_of(scenes_config(), f"{i:08d}") for i in range(4000)]


def share(condition, among):
    chosen = [plan for plan in PLANS if among(plan)]
    return sum(condition(plan) for plan in chosen) / len(chosen)


def test_shares_are_those_of_the_profile():
    config = scenes_config()
    several = [plan for plan in PLANS if len(plan) > 1]
    occluded = [plan for plan in several if any(layer.occluder is not None for layer in plan)]
    layers = [layer for plan in PLANS for layer in plan]
    assert len(occluded) / len(several) == pytest.approx(config.occlusion.scene_share, abs=0.04)
    assert sum(layer.kind == "generated" for layer in layers) / len(layers) == pytest.approx(0.5, abs=0.03)
    assert sum(layer.border_contact for layer in layers) / len(layers) == pytest.approx(0.2, abs=0.03)
    counts = Counter(len(plan) for plan in PLANS)
    assert all(counts[n] / len(PLANS) == pytest.approx(1 / 3, abs=0.04) for n in (1, 2, 3))


def test_levels_are_drawn_by_weight():
    pairs = [plan for plan in PLANS if len(plan) == 2 and plan[0].occluder is not None]
    levels = Counter(plan[0].occlusion for plan in pairs)
    # Of two layers the lower one must be the occluded one, so "none" is excluded.
    assert levels["none"] == 0
    assert levels["light"] / len(pairs) == pytest.approx(1 / 2.6, abs=0.06)
    assert levels["heavy"] / len(pairs) == pytest.approx(0.6 / 2.6, abs=0.06)


@given(st.integers(0, 10**8), st.integers(0, 2**31))
def test_a_plan_is_possible(index, seed):
    config = scenes_config(seed=seed)
    plan = plan_of(config, f"{index:08d}")
    assert plan == plan_of(config, f"{index:08d}")
    assert plan != plan_of(config, f"{index + 1:08d}") or len(plan) <= 3
    assert 1 <= len(plan) <= 3
    assert plan[-1].occlusion == "none"
    lows = {"small": config.size.small[0], "medium": config.size.medium[0], "large": config.size.large[0]}
    assert sum(lows[layer.size_class] for layer in plan) <= config.size.max_total_share
    for i, layer in enumerate(plan):
        assert (layer.occluder is None) == (layer.occlusion == "none")
        assert layer.occluder is None or layer.occluder > i


def test_no_layer_is_larger_than_its_occluder():
    for plan in PLANS:
        for layer in (layer for layer in plan if layer.occluder is not None):
            assert SIZE_CLASSES.index(plan[layer.occluder].size_class) >= SIZE_CLASSES.index(layer.size_class)


@given(st.permutations([0, 1, 2]), st.sampled_from([(1, 2, None), (2, 2, None), (None, 2, None), (1, None, None)]))
def test_sizes_are_exchanged_not_changed(sizes, occluders):
    ordered = occluders_larger(sizes, occluders)
    assert sorted(ordered) == [0, 1, 2]
    assert all(above is None or ordered[below] < ordered[above] for below, above in enumerate(occluders))


def test_each_kind_has_its_own_weights_and_nothing_else_changes():
    """The bounds of one kind do not reach the other through exchanged sizes, nor anything but sizes."""
    config = scenes_config()
    limited = {"real": (0.9, 0.1, 0.0), "generated": config.size.weights}
    plans = [plan_scene(config, limited, f"{i:08d}") for i in range(4000)]
    of_kind = {
        kind: Counter(layer.size_class for plan in plans for layer in plan if layer.kind == kind) for kind in limited
    }
    assert of_kind["real"]["large"] == 0
    assert of_kind["real"]["small"] / of_kind["real"].total() == pytest.approx(0.9, abs=0.02)
    before = Counter(layer.size_class for plan in PLANS for layer in plan if layer.kind == "generated")
    for size_class in SIZE_CLASSES:
        share = of_kind["generated"][size_class] / of_kind["generated"].total()
        assert share == pytest.approx(before[size_class] / before.total(), abs=0.06)
    assert Counter(map(len, plans)) == Counter(map(len, PLANS))


def test_without_generated_foregrounds_each_scene_has_as_many_layers():
    """Leaving out the scenes with a generated layer would make half of the rest single-layer ones."""
    real_only = [plan_of(scenes_config(generated_share=0.0), f"{i:08d}") for i in range(4000)]
    assert [len(plan) for plan in real_only] == [len(plan) for plan in PLANS]
    assert {layer.kind for plan in real_only for layer in plan} == {"real"}
    occluded, before = (
        sum(layer.occluder is not None for plan in plans for layer in plan) / sum(map(len, plans))
        for plans in (real_only, PLANS)
    )
    assert occluded == pytest.approx(before, abs=0.01)
    left = [plan for plan in PLANS if all(layer.kind == "real" for layer in plan)]
    assert sum(len(plan) == 1 for plan in left) / len(left) > 0.5


def test_number_of_scenes_does_not_reach_a_plan():
    assert plan_of(scenes_config(), "00000005") == plan_of(scenes_config(num_scenes=800), "00000005")


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="positive weight"):
        OcclusionConfig(weights=(1.0, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="room for three layers"):
        SizeConfig(weights=(0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="low <= high"):
        OcclusionConfig(light=(0.5, 0.1))
    with pytest.raises(ValueError, match="multiple of 8"):
        ScenesConfig(num_scenes=1, scenes_per_shard=1, size_px=100)
