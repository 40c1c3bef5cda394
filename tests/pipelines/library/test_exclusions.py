"""The exclusion list: what it may hold, and that the library obeys it."""

import pytest

from decoupage.faults import BadSetup
from pipelines.library import exclusions
from pipelines.library.exclusions import EXCLUSIONS, Exclusion, add_exclusions, read_exclusions, write_exclusions
from pipelines.stages.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path))


def test_the_list_is_read_as_written_ordered_and_each_asset_once(store: Store):
    first, second = Exclusion("b-2", "reject", "train/00000001 layer0"), Exclusion("a-1", "relabel")
    write_exclusions(store, [first, second, Exclusion("b-2", "relabel", "later")])
    assert read_exclusions(store) == (second, first)
    written = store.read(EXCLUSIONS)
    write_exclusions(store, reversed([second, first]))
    assert store.read(EXCLUSIONS) == written


def test_no_list_excludes_nothing(store: Store):
    assert read_exclusions(store) == ()


@pytest.mark.parametrize(
    "line",
    [b"not json", b"[]", b'{"id": "a"}', b'{"id": "../a", "reason": "reject"}', b'{"id": "a", "reason": "ugly"}',
     b'{"id": 7, "reason": "reject"}', b'{"id": "a", "reason": "reject", "more": 1}', b"\xff\xfe"],
)  # fmt: skip
def test_a_damaged_line_is_named(store: Store, line: bytes):
    store.write(EXCLUSIONS, b'{"id": "a", "reason": "reject"}\n' + line + b"\n")
    with pytest.raises(BadSetup, match="line 2"):
        read_exclusions(store)


def test_two_who_add_at_once_lose_nothing_of_each_other(remote, monkeypatch):
    ours, theirs = Exclusion("a-1", "reject", "train/1"), Exclusion("b-1", "relabel", "train/2")
    read = exclusions.read_exclusions

    def read_and_be_overtaken(store):
        found = read(store)
        monkeypatch.undo()
        assert add_exclusions(store, [theirs, Exclusion("a-2", "reject")])
        return found

    for taken in ((), (Exclusion("a-0", "reject"),)):
        remote.remove(EXCLUSIONS)
        add_exclusions(remote, taken)
        monkeypatch.setattr(exclusions, "read_exclusions", read_and_be_overtaken)
        assert add_exclusions(remote, [ours, theirs]) == (ours,)
        assert {found.id for found in read_exclusions(remote)} == {"a-1", "a-2", "b-1", *(one.id for one in taken)}
        assert add_exclusions(remote, [ours]) == ()
