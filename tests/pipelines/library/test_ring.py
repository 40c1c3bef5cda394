"""The ring: fair, independent of order, and little disturbed by change."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from decoupage.randomness import hash64
from pipelines.library.ring import Ring

points = st.integers(0, 2**64 - 1)
ids = st.lists(st.text("abcdef0123456789", min_size=1, max_size=6), min_size=2, max_size=12, unique=True)


def draw(assets, point, refused=(), members=None):
    """The id drawn from a ring whose assets are groups of their own."""
    ring = Ring.of(assets, np.arange(len(assets), dtype=np.int32), 8)
    if members is not None:
        ring = ring.among(np.array([asset in members for asset in assets]))
    drawn = ring.draw(point, {assets.index(asset) for asset in refused})
    return None if drawn is None else assets[drawn]


@given(ids, points)
def test_order_of_ids_does_not_matter(assets, point):
    assert draw(assets, point) == draw(assets[::-1], point)


@given(ids, st.lists(points, min_size=30, max_size=30))
def test_removing_an_asset_moves_only_its_own_draws(assets, draws):
    gone = assets[0]
    for point in draws:
        if draw(assets, point) != gone:
            assert draw(assets[1:], point) == draw(assets, point)


@given(ids, st.lists(points, min_size=30, max_size=30))
def test_adding_an_asset_only_takes_draws_over(assets, draws):
    for point in draws:
        assert draw([*assets, "newcomer"], point) in (draw(assets, point), "newcomer")


@given(ids, points)
def test_a_refused_asset_is_not_drawn(assets, point):
    first = draw(assets, point)
    second = draw(assets, point, {first})
    assert second in set(assets) - {first}
    assert draw(assets, point, set(assets)) is None


@given(ids, points)
def test_a_ring_of_some_is_the_ring_without_the_others(assets, point):
    members = assets[: len(assets) // 2]
    assert draw(assets, point, members=members) == draw(members, point)


@given(ids, points)
def test_clockwise_meets_every_asset_once(assets, point):
    ring = Ring.of(assets, np.arange(len(assets), dtype=np.int32), 8)
    assert sorted(ring.clockwise(point)) == list(range(len(assets)))


@given(points)
def test_a_group_is_refused_as_one(point):
    ring = Ring.of(["a", "b", "c", "d"], np.array([0, 0, 1, 1], np.int32), 8)
    assert set(ring.clockwise(point, {0})) == {2, 3}


def test_draws_are_roughly_even():
    ring = Ring.of([f"asset-{i}" for i in range(20)], np.arange(20, dtype=np.int32), 64)
    counts = Counter(ring.draw(hash64("test", i)) for i in range(20_000))
    assert len(counts) == 20
    assert max(counts.values()) < 1.6 * 1000 and min(counts.values()) > 0.5 * 1000
