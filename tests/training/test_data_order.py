from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from training.data.order import candidates, epoch_order, is_flipped, rank_batches, target_layer


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000), st.integers(1, 200))
def test_an_epoch_shows_every_scene_once(seed: int, epoch: int, num_scenes: int) -> None:
    assert sorted(epoch_order(seed, epoch, num_scenes)) == list(range(num_scenes))


def test_seed_and_epoch_change_the_order() -> None:
    first = epoch_order(0, 0, 50).tolist()
    assert first == epoch_order(0, 0, 50).tolist()
    assert first != epoch_order(0, 1, 50).tolist()
    assert first != epoch_order(1, 0, 50).tolist()
    assert first != sorted(first)


@given(st.integers(0, 500), st.integers(1, 5), st.integers(1, 4))
def test_processes_together_see_what_one_would_see(start: int, world_size: int, batch_size: int) -> None:
    alone = list(islice(rank_batches(start, 0, 1, batch_size * world_size), 3))
    parts = [list(islice(rank_batches(start, rank, world_size, batch_size), 3)) for rank in range(world_size)]
    for step, positions in enumerate(alone):
        assert sorted(position for part in parts for position in part[step]) == positions
    assert [position for positions in alone for position in positions] == list(
        range(start, start + 3 * batch_size * world_size)
    )


def test_candidates_begin_with_the_scene_at_the_position_and_go_through_its_epoch() -> None:
    order = epoch_order(3, 1, 7).tolist()
    assert list(candidates(3, 7 + 2, 7)) == order[2:] + order[:2]


def test_a_scene_of_n_layers_is_asked_for_each_of_them_in_n_epochs() -> None:
    for key in ("00000001", "00000002", "00000003"):
        assert {target_layer(5, epoch, key, 3) for epoch in range(4, 7)} == {0, 1, 2}
    assert len({target_layer(5, 0, f"{i:08d}", 3) for i in range(20)}) == 3


def test_about_half_is_flipped_and_epochs_differ() -> None:
    keys = [f"{i:08d}" for i in range(400)]
    first, second = ([is_flipped(0, epoch, key) for key in keys] for epoch in (0, 1))
    assert 150 < sum(first) < 250
    assert 150 < sum(a != b for a, b in zip(first, second, strict=True)) < 250
