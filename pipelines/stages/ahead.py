"""Reading many small files of a store one after another: of an object store, some are asked for at once."""

from collections.abc import Iterable, Iterator
from itertools import islice

from pipelines.stages.store import Store

AT_ONCE = 32
"""Files that are in memory at the same time."""


def read_ahead(store: Store, paths: Iterable[str]) -> Iterator[bytes | None]:
    """Whole files in order; None for one that is absent. Raises BadSetup as `Store.read`."""
    left = iter(paths)
    while some := list(islice(left, AT_ONCE)):
        yield from store.read_many(some)
