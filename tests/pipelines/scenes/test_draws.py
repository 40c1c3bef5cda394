"""Draws over libraries of records alone: large enough classes, even uses, and little moved by a change."""

from collections import Counter
from dataclasses import MISSING, fields, replace

import numpy as np
import pytest

from decoupage.faults import BadSetup
from decoupage.randomness import generator
from pipelines.config import ScenesConfig
from pipelines.library.catalogue import write_catalogue
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.scenes.draws import EPOCH, Pool
from pipelines.scenes.plan import plan_scene
from pipelines.scenes.rings import largest_share
from pipelines.scenes.stage import ScenesStage
from pipelines.stages.store import Store

CONFIG = ScenesConfig(num_scenes=1500, scenes_per_shard=100, size_px=1024, seed=5, generated_share=0.3)
KEYS = [f"{i:08d}" for i in range(CONFIG.num_scenes)]
WEIGHTS = dict.fromkeys(("real", "generated"), CONFIG.size.weights)
"""Of a library like the one below, whose cutouts are large enough for every class."""
PLANS = {key: plan_scene(CONFIG, WEIGHTS, key) for key in KEYS}
MANY, FEW = 2000, 300


def foreground(i, kind, **changes):
    area_px = float(generator(i, "area", kind).uniform(10_000, 250_000))
    values = dict.fromkeys(ForegroundRecord.__dataclass_fields__, "")
    values |= {"id": f"{kind}-{i:04d}", "source": kind, "kind": kind, "origin": f"{kind}/{i}", "split": "train"}
    values |= {"width_px": 600, "height_px": 600, "area_px": area_px, "alpha_mean": 0.5, "soft_share": 0.1}
    values |= {"semi_transparent": False, "consistency_error": -1.0, "offset": 0, "num_bytes": 1}
    return ForegroundRecord(**values | changes)


def background(i, **changes):
    values = {field.name: "" for field in fields(BackgroundRecord) if field.default is MISSING}
    values |= {"id": f"photo-{i:04d}", "origin": f"photo/{i}", "split": "train", "sharpness": 30.0}
    return BackgroundRecord(**values | {"width_px": 1600, "height_px": 1200, "rotation_deg_ccw": 0} | changes)


FRONTS = [foreground(i, "real") for i in range(MANY)] + [foreground(i, "generated") for i in range(FEW)]
BACKS = [background(i) for i in range(MANY)]


def pool_of(root, fronts=FRONTS, backs=BACKS, config=CONFIG):
    store = Store(str(root))
    for records in (fronts, backs):
        write_catalogue(store, sorted(records, key=lambda record: record.id))
    return Pool.read(store, config, "train")


def first_draws(pool):
    return {key: pool.draw(key, pool.plan(key), 0) for key in KEYS}


@pytest.fixture(scope="module")
def draws(tmp_path_factory):
    return first_draws(pool_of(tmp_path_factory.mktemp("draws")))


def uses_of(draws, kind):
    return Counter(front.id for draw in draws.values() for front in draw.foregrounds if front.kind == kind)


OWN = [foreground(i, "real", id=f"own-{i:04d}", source="cutouts", origin=f"own/{i}") for i in range(200)]


def test_own_cutouts_get_the_share_that_the_recipe_names(tmp_path):
    config = CONFIG.model_copy(update={"cutouts_share": 0.25})
    pool = pool_of(tmp_path, FRONTS + OWN, config=config)
    draws = {key: pool.draw(key, pool.plan(key), 0) for key in KEYS}
    layers = [front for draw in draws.values() for front in draw.foregrounds]
    shares = {name: sum(front.source == name for front in layers) / len(layers) for name in ("cutouts", "generated")}
    assert shares == pytest.approx({"cutouts": 0.25, "generated": 0.3}, abs=0.03)
    without = config.without_generated()
    assert (without.generated_share, without.cutouts_share) == pytest.approx((0.0, 0.25 / 0.7))


def test_without_a_share_own_cutouts_are_drawn_as_real_ones_by_their_number(tmp_path):
    layers = [front for draw in first_draws(pool_of(tmp_path, FRONTS + OWN)).values() for front in draw.foregrounds]
    real = [front for front in layers if front.kind == "real"]
    assert sum(front.source == "cutouts" for front in real) / len(real) == pytest.approx(200 / 2200, abs=0.02)
    recipe = ScenesStage(Store(str(tmp_path)), Store(str(tmp_path)), CONFIG, "train").recipe
    assert "cutouts_share" not in recipe["scenes"]


def test_a_share_of_own_cutouts_without_any_is_refused(tmp_path):
    with pytest.raises(BadSetup, match=r"cutouts_share 0\.2, but the library has no cutout of your own"):
        pool_of(tmp_path, config=CONFIG.model_copy(update={"cutouts_share": 0.2}))


def test_every_cutout_can_fill_its_class(draws):
    for key, draw in draws.items():
        for layer, front in zip(PLANS[key], draw.foregrounds, strict=True):
            assert front.kind == layer.kind
            assert front.area_px >= CONFIG.min_area_px(layer.size_class)
            reachable = largest_share(front.width_px, front.height_px, front.area_px, CONFIG)
            assert reachable >= CONFIG.size.shares(layer.size_class)[0]


def test_a_long_thin_cutout_is_not_drawn_as_a_large_layer(tmp_path):
    thin = [
        foreground(i, "real", width_px=900, height_px=150, area_px=120_000.0, id=f"thin-{i:04d}") for i in range(50)
    ]
    drawn = first_draws(pool_of(tmp_path, FRONTS + thin))
    classes = {
        layer.size_class
        for key, draw in drawn.items()
        for layer, front in zip(PLANS[key], draw.foregrounds, strict=True)
        if front.id.startswith("thin")
    }
    assert classes == {"small", "medium"}


def test_a_library_of_large_cutouts_limits_no_class(tmp_path):
    pool = pool_of(tmp_path)
    assert {key: pool.plan(key) for key in KEYS} == PLANS


def coco_like(i):
    """A real cutout as large as COCO's instances are (log-normal, median 1,156 px), of those that fill any class."""
    rng = generator(i, "coco", "real")
    area_px = 0.0
    while not CONFIG.min_area_px("small") <= area_px < 300_000:
        area_px = float(np.exp(rng.normal(np.log(1156), 2.4)))
    side_px = round((area_px * 1.9) ** 0.5)
    return foreground(i, "real", area_px=area_px, width_px=side_px, height_px=side_px)


@pytest.mark.parametrize(
    ("ratio", "tenth", "most"),
    [(1000.0, (2.3, 3.0), (5.0, 6.0)), (1.5, (1.5, 2.0), (2.5, 4.0)), (1.0, (1.0, 1.6), (1.0, 2.0))],
)
def test_few_large_cutouts_are_not_drawn_for_every_large_layer(tmp_path, ratio, tenth, most):
    fronts = [coco_like(i) for i in range(400)] + FRONTS[MANY:]
    config = CONFIG.model_copy(update={"size": CONFIG.size.model_copy(update={"max_use_ratio": ratio})})
    pool = pool_of(tmp_path, fronts, config=config)
    uses = uses_of(first_draws(pool), "real")
    counts = sorted((uses[front.id] for front in fronts if front.kind == "real"), reverse=True)
    # Uses of the most used tenth / the mean, and of the most used one / the median; 1000 limits nothing.
    assert tenth[0] < sum(counts[:40]) / sum(counts) * 10 < tenth[1]
    assert most[0] < counts[0] / counts[200] < most[1]
    assert abs(sum(pool.class_weights["real"]) - 1) < 1e-9
    fewer = pool_of(tmp_path / "fewer", fronts[1:], config=config)
    assert fewer.class_weights == pool.class_weights
    assert pool.class_weights["generated"] == pytest.approx((2 / 7, 3 / 7, 2 / 7))


def test_a_library_that_fills_other_classes_is_noticed_by_the_trail(tmp_path):
    key = next(key for key in KEYS if {layer.size_class for layer in PLANS[key]} == {"large"})
    pool = pool_of(tmp_path)
    smaller = replace(pool, class_weights={**pool.class_weights, "real": (1.0, 0.0, 0.0)})
    smaller = replace(smaller, class_weights={**smaller.class_weights, "generated": (1.0, 0.0, 0.0)})
    assert smaller.trail(key, smaller.plan(key), 0)[0] != pool.trail(key, pool.plan(key), 0)[0]


def test_uses_are_even(draws):
    generated = uses_of(draws, "generated")
    mean = generated.total() / FEW
    # Chance alone would leave a few unused and use one more than twice the mean.
    assert len(generated) == FEW and max(generated.values()) < 2 * mean
    # Fewer draws than photographs: hardly one is drawn twice.
    backs = Counter(draw.background.id for draw in draws.values())
    assert max(backs.values()) <= 2 and len(backs) > 0.95 * CONFIG.num_scenes


@pytest.mark.parametrize(("kind", "most"), [("real", 0.01), ("generated", 0.05)])
def test_a_removed_or_added_asset_moves_few_scenes(draws, tmp_path, kind, most):
    uses = uses_of(draws, kind)
    gone = sorted(uses, key=uses.get)[len(uses) // 2]
    fewer = first_draws(pool_of(tmp_path / "fewer", [front for front in FRONTS if front.id != gone]))
    more = first_draws(pool_of(tmp_path / "more", [*FRONTS, foreground(9999, kind)]))
    for changed, at_least in ((fewer, uses[gone]), (more, 0)):
        moved = sum(changed[key] != draws[key] for key in KEYS)
        assert at_least <= moved <= most * len(KEYS)
    assert not any(front.id == gone for draw in fewer.values() for front in draw.foregrounds)


def test_draws_do_not_depend_on_what_was_asked_before(draws, tmp_path):
    pool = pool_of(tmp_path)
    for key in (KEYS[700], KEYS[3], KEYS[699]):
        assert pool.draw(key, PLANS[key], 0) == draws[key]


def test_an_epoch_does_not_know_the_one_before(tmp_path):
    key = f"{EPOCH + 5:08d}"
    plan = plan_scene(CONFIG, WEIGHTS, key)
    fresh, used = pool_of(tmp_path / "fresh"), pool_of(tmp_path / "used")
    first_draws(used)
    assert used.draw(key, plan, 0) == fresh.draw(key, plan, 0)


def test_a_redraw_is_moved_only_by_its_own_assets(tmp_path):
    pool = pool_of(tmp_path / "all")
    redraws = {key: pool.draw(key, PLANS[key], 4) for key in KEYS}
    gone = redraws[KEYS[0]].foregrounds[0].id
    fewer = pool_of(tmp_path / "fewer", [front for front in FRONTS if front.id != gone])
    for key, draw in redraws.items():
        shown = any(front.id == gone for front in draw.foregrounds)
        assert (fewer.draw(key, PLANS[key], 4) != draw) == shown


def test_no_photograph_comes_twice(tmp_path):
    fronts = [
        foreground(i, kind, area_px=250_000.0, origin=f"o{i % 4}") for kind in ("real", "generated") for i in range(8)
    ]
    backs = [background(i, origin=f"o{i}") for i in range(4)]
    for key, draw in first_draws(pool_of(tmp_path, fronts, backs)).items():
        origins = [draw.background.origin, *(front.origin for front in draw.foregrounds)]
        assert len(set(origins)) == len(origins) == len(PLANS[key]) + 1


def test_small_photographs_are_not_drawn(tmp_path):
    small = [background(i, id=f"small-{i:04d}", width_px=1600, height_px=880) for i in range(MANY)]
    drawn = first_draws(pool_of(tmp_path, backs=small + BACKS[:10]))
    assert {draw.background.id for draw in drawn.values()} <= {back.id for back in BACKS[:10]}
    with pytest.raises(BadSetup, match="shorter side of 880 px"):
        pool_of(tmp_path, backs=small)


def test_a_trail_names_every_asset_of_every_turn(tmp_path):
    pool = pool_of(tmp_path)
    key = KEYS[1]
    trail = pool.trail(key, PLANS[key], 9)
    turns = [pool.draw(key, PLANS[key], attempt) for attempt in (0, 4, 8)]
    shown = [asset.id for draw in turns for asset in (draw.background, *draw.foregrounds)]
    assert [token.partition("@")[0] for token in trail] == ["plan", *shown]
    renamed = [replace(front, caption="another") for front in FRONTS]
    other = pool_of(tmp_path / "renamed", renamed).trail(key, PLANS[key], 9)
    assert [token.partition("@")[0] for token in other] == ["plan", *shown] and other != trail
