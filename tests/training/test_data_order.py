import tracemalloc
from collections import Counter
from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from training.data.order import candidates, is_flipped, rank_batches, triplet_at


def epoch_order(seed: int, epoch: int, num_triplets: int) -> list[int]:
    return [triplet_at(seed, epoch * num_triplets + slot, num_triplets) for slot in range(num_triplets)]


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000), st.integers(1, 200))
def test_an_epoch_shows_every_triplet_once(seed: int, epoch: int, num_triplets: int) -> None:
    assert sorted(epoch_order(seed, epoch, num_triplets)) == list(range(num_triplets))


def test_seed_and_epoch_change_the_order() -> None:
    first = epoch_order(0, 0, 50)
    assert first == epoch_order(0, 0, 50)
    assert first != epoch_order(0, 1, 50)
    assert first != epoch_order(1, 0, 50)
    assert first != sorted(first)


def test_each_triplet_is_as_likely_at_each_place_and_beside_each_other() -> None:
    orders = [epoch_order(seed, 0, 12) for seed in range(1200)]
    places = Counter((slot, number) for order in orders for slot, number in enumerate(order))
    # 100 expected in each of 144 cells, with a standard deviation of 9.6.
    assert len(places) == 144 and min(places.values()) > 55 and max(places.values()) < 145
    following = Counter(pair for order in orders for pair in pairwise(order))
    assert len(following) == 132 and min(following.values()) > 55 and max(following.values()) < 145


def test_a_place_among_a_hundred_million_needs_no_memory() -> None:
    tracemalloc.start()
    numbers = {triplet_at(7, position, 100_000_000) for position in range(99_999_000, 100_001_000)}
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Half of the positions are of the next epoch; numbers of both may meet by chance.
    assert 1990 <= len(numbers) <= 2000 and max(numbers) < 100_000_000 and peak_bytes < 2e6


@given(st.integers(0, 500), st.integers(1, 5), st.integers(1, 4))
def test_processes_together_see_what_one_would_see(start: int, world_size: int, batch_size: int) -> None:
    alone = list(islice(rank_batches(start, 0, 1, batch_size * world_size), 3))
    parts = [list(islice(rank_batches(start, rank, world_size, batch_size), 3)) for rank in range(world_size)]
    for step, positions in enumerate(alone):
        assert sorted(position for part in parts for position in part[step]) == positions
    assert [position for positions in alone for position in positions] == list(
        range(start, start + 3 * batch_size * world_size)
    )


def test_candidates_begin_with_the_triplet_at_the_position_and_go_through_its_epoch() -> None:
    order = epoch_order(3, 1, 7)
    assert list(candidates(3, 7 + 2, 7)) == order[2:] + order[:2]


def test_about_half_is_flipped_and_epochs_differ() -> None:
    keys = [f"{i:08d}" for i in range(400)]
    first, second = ([is_flipped(0, epoch, key, 0) for key in keys] for epoch in (0, 1))
    above = [is_flipped(0, 0, key, 1) for key in keys]
    assert 150 < sum(first) < 250
    for other in (second, above):
        assert 150 < sum(a != b for a, b in zip(first, other, strict=True)) < 250
