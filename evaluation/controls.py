"""Do the maps help? Runs an adapter again on a part of the list: without maps, and with another scene's maps.

If the first is as good as the adapter, the maps do not help; if the second is, the adapter ignores them. Both run like
any method, with the same noise; their answers lie in `controls/` of the test set's records.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decoupage.images.types import Array
from decoupage.maps.table import StoredMaps
from evaluation.cases import Case
from evaluation.method import MethodRecipe
from evaluation.records.ask import record
from evaluation.records.method import MethodRecord
from evaluation.scores import ScoreTable
from evaluation.test_sets.spec import TestSet
from pipelines.stages.store import Store

NO_MAPS, OTHER_MAPS = "no_maps", "other_maps"
"""Names of the two controls, in reports and records."""
FOLDER = "controls"
"""Of a test set's room."""


@dataclass(frozen=True)
class WithMaps:
    """Some cases of a test set, each with maps that are not its own.

    Attributes:
        maps: case -> what it brings instead; empty = none.
    """

    test_set: TestSet
    maps: Mapping[str, StoredMaps]

    @property
    def name(self) -> str:
        """See `TestSet`."""
        return self.test_set.name

    @property
    def about(self) -> dict[str, Any]:
        """See `TestSet`."""
        return self.test_set.about

    def cases(self, names: Collection[str] | None = None) -> Iterator[Case]:
        """See `TestSet`."""
        wanted = self.maps.keys() if names is None else self.maps.keys() & set(names)
        for case in self.test_set.cases(wanted):
            yield replace(case, maps=self.maps[case.name])


def ask_controls(
    test_set: TestSet, method: MethodRecipe, table: ScoreTable, room: Store, chosen: Sequence[str]
) -> list[MethodRecord]:
    """Run an adapter's controls on some cases of a list: those controls that the list allows.

    Args:
        method: the adapter, with its controls.
        table: the scores of the list: its names and photographs.
        room: of the test set.
        chosen: names of the cases.
    """
    lenders = {name: other for name in chosen if (other := lender(name, table.names, table.photographs))}
    lent = {case.name: _maps(case, method) for case in test_set.cases(set(lenders.values()))}
    brought: dict[str, dict[str, StoredMaps]] = {
        NO_MAPS: {name: {} for name in chosen},
        OTHER_MAPS: {name: lent[other] for name, other in lenders.items()},
    }
    place = Store(f"{room.root}/{FOLDER}")
    found: list[MethodRecord] = []
    for control in method.controls:
        if brought[control.name]:
            view = WithMaps(test_set, brought[control.name])
            found.append(record(view, [control], place, chosen).methods[control.name])
    return found


def spread(names: Sequence[str], number: int) -> list[str]:
    """At most this many names, spread evenly over the list: neighbours may share a photograph."""
    places = np.linspace(0, len(names) - 1, min(number, len(names))).round().astype(int)
    return [names[place] for place in places]


def lender(name: str, names: Sequence[str], photographs: Sequence[str]) -> str | None:
    """The next case of the list, past its end from its beginning, with another photograph; None = there is only one."""
    place = names.index(name)
    for other in (*range(place + 1, len(names)), *range(place)):
        if photographs[other] != photographs[place]:
            return names[other]
    return None


def _maps(case: Case, method: MethodRecipe) -> StoredMaps:
    """The maps that an adapter gets with a case: those that the case brings, the others as the pipeline makes them."""
    given = {name: (case.maps or {})[name] for name in method.maps if name in (case.maps or {})}
    missing = [name for name in method.maps if name not in given]
    if not missing:
        return given
    from decoupage import AdapterConfig  # torch comes with it.
    from decoupage.adapter import auto_maps

    made: dict[str, Array] = auto_maps(AdapterConfig.from_dict(dict(method.facts["config"])))(case.composite, missing)
    return given | made
