"""The exclusion list: what it may hold, and that the library obeys it."""

import pytest

from decoupage.faults import BadSetup
from pipelines.library.exclusions import EXCLUSIONS, Exclusion, read_exclusions, write_exclusions
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
