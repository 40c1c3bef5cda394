"""The ring: fair, independent of order, and little disturbed by change."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from decoupage.randomness import hash64
from pipelines.library.ring import Ring

points = st.integers(0, 2**64 - 1)
ids = st.lists(st.text("abcdef0123456789", min_size=1, max_size=6), min_size=2, max_size=12, unique=True)


@given(ids, points)
def test_order_of_ids_does_not_matter(assets, point):
    assert Ring.of(assets, 8).draw(point) == Ring.of(assets[::-1], 8).draw(point)


@given(ids, st.lists(points, min_size=30, max_size=30))
def test_removing_an_asset_moves_only_its_own_draws(assets, draws):
    gone = assets[0]
    before, after = Ring.of(assets, 8), Ring.of(assets[1:], 8)
    for point in draws:
        if before.draw(point) != gone:
            assert after.draw(point) == before.draw(point)


@given(ids, st.lists(points, min_size=30, max_size=30))
def test_adding_an_asset_only_takes_draws_over(assets, draws):
    before, after = Ring.of(assets, 8), Ring.of([*assets, "newcomer"], 8)
    for point in draws:
        assert after.draw(point) in (before.draw(point), "newcomer")


@given(ids, points)
def test_a_refused_asset_is_not_drawn(assets, point):
    first = Ring.of(assets, 8).draw(point)
    second = Ring.of(assets, 8).draw(point, {first})
    assert second in set(assets) - {first}
    assert Ring.of(assets, 8).draw(point, set(assets)) is None


def test_draws_are_roughly_even():
    ring = Ring.of([f"asset-{i}" for i in range(20)], 64)
    counts = Counter(ring.draw(hash64("test", i)) for i in range(20_000))
    assert len(counts) == 20
    assert max(counts.values()) < 1.6 * 1000 and min(counts.values()) > 0.5 * 1000
