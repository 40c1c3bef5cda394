"""Asks methods for all that is not recorded yet, one method after another, image by image.

An answer whose image, maps, settings and weights are unchanged is not asked for again, so a killed run loses only the
image that it was working on, or the few that were on their way to an object store. A method's weights are loaded only
if one of its answers is missing, and released before the next method's.
"""

import gc
import sys
from collections.abc import Collection, Sequence

from decoupage.faults import BadSetup
from evaluation.cases import Case, Entry, list_file
from evaluation.method import MethodRecipe, answer
from evaluation.records.method import LIST, MethodRecord, each, record_of
from evaluation.records.room import Records, Shared, check_names, put_given, put_list
from evaluation.test_sets.spec import TestSet
from pipelines.stages.progress import Progress, Steps
from pipelines.stages.store import Store


class DidNotRun(RuntimeError):
    """A method gave no output that can be trusted: it has no row in a report, and a reason why."""


def record(
    test_set: TestSet,
    recipes: Sequence[MethodRecipe],
    room: Store,
    names: Collection[str] | None = None,
    steps: Steps | None = None,
) -> Records:
    """Bring a room up to date with a test set.

    Failures are asked again each time; those of methods that are only read stand.

    Args:
        recipes: with different names, none of them `given`.
        room: `<root>/records/<test set>/`.
        names: of the cases to ask for; None = the whole list, and the room then says so in its `list.json`.
        steps: of the work that this is a part of; takes one step for the list, and one for each method.

    Raises:
        BadSetup: the list is empty, names cannot be used in paths, or a method that is only read lacks an answer.
    """
    title = "records" if steps is None else steps.next("the list", "existing records")
    records, missing = compare(test_set, recipes, room, names, title)
    for recipe in recipes:
        lacking, title = missing[recipe.name], recipe.name
        if steps is not None:
            said = f"{len(lacking)} of {len(records.entries)} images to run"
            title = steps.next(title, said if lacking else "recorded already")
        if lacking:
            _ask(test_set, recipe, records.methods[recipe.name], lacking, title)
    if names is None:
        close(records, test_set)
    return records


def compare(
    test_set: TestSet,
    recipes: Sequence[MethodRecipe],
    room: Store,
    names: Collection[str] | None = None,
    title: str = "records",
) -> tuple[Records, dict[str, list[str]]]:
    """(the records, the cases that each method has yet to answer); writes what methods are given.

    Raises:
        BadSetup: as `record`.
    """
    check_names([recipe.name for recipe in recipes], "method")
    methods = {recipe.name: record_of(room, recipe) for recipe in recipes}
    only_read = {recipe.name: recipe.only_read for recipe in recipes}
    entries: list[Entry] = []
    shared: dict[str, Shared] = {}
    missing: dict[str, list[str]] = {name: [] for name in methods}

    def look(case: Case) -> tuple[Entry, Shared, list[str]]:
        check_names([case.name], "case")
        put_given(room, case)
        lacking = [name for name, own in methods.items() if not own.is_done(case, failures_count=only_read[name])]
        return Entry(case.name, case.sha256), Shared.of(case), lacking

    with Progress(title, "images checked", None if names is None else len(names)) as progress:
        for entry, common, lacking in each(room, look, progress.counting(test_set.cases(names))):
            entries.append(entry)
            shared[entry.name] = common
            for name in lacking:
                missing[name].append(entry.name)
    if not entries:
        raise BadSetup(f"the test set {test_set.name} holds no image; make it first")
    for name, cases in missing.items():
        if cases and only_read[name]:
            raise BadSetup(
                f"{methods[name].store.root} has no answer for {len(cases)} of {len(entries)} images as they are now "
                f"({cases[0]}): it was recorded on another list; record it again (`decoupage baselines`)"
            )
    return Records(room, tuple(entries), shared, methods), missing


def _ask(test_set: TestSet, recipe: MethodRecipe, record: MethodRecord, missing: Collection[str], title: str) -> None:
    if recipe.make is None:
        raise ValueError(f"{recipe.name} cannot be asked here: it has no `make`")
    record.store.remove(LIST)  # Until it is written again the folder is not finished, and cannot be taken for it.
    method = recipe.make()
    with Progress(title, "images", len(missing)) as progress:
        answers = ((case, answer(method, case)) for case in progress.counting(test_set.cases(set(missing))))
        for _ in each(record.store, lambda answered: record.put(*answered), answers):
            pass
    del method
    _let_go()


def close(records: Records, test_set: TestSet) -> None:
    """Once the whole list is answered: say so in each method's folder, and last in the room."""
    for method in records.methods.values():
        method.close(list_file(records.entries, test_set.about))
    put_list(records, test_set.about)


def _let_go() -> None:
    """Free the memory of weights that are no longer referenced, also on a GPU."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
