"""What a test set is: cases in a fixed order, which can be read repeatedly."""

from collections.abc import Collection, Iterator
from typing import Any, Protocol

from evaluation.cases import Case


class TestSet(Protocol):
    """A list to judge methods on."""

    @property
    def name(self) -> str:
        """In reports and folder names; snake_case."""
        ...

    @property
    def about(self) -> dict[str, Any]:
        """Facts for `list.json` and the report: at least `test_set`."""
        ...

    def cases(self, names: Collection[str] | None = None) -> Iterator[Case]:
        """The cases, always in the same order; of `names` only those so named, without decoding the others.

        Raises:
            BadSetup: the list cannot be read, or is empty.
        """
        ...
