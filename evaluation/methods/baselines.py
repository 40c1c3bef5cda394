"""The profile's baselines: recording them all on a list, and reading the records back as methods of an evaluation.

They lie in the test set's room (`evaluation.records`). A baseline that cannot run does not stop the others: its state
says why and how to fix it, and it has no row in a report.
"""

import logging
from collections.abc import Iterator
from typing import Any, cast

from decoupage.faults import BadSetup
from evaluation.cases import Entry
from evaluation.config import EvaluationConfig
from evaluation.config.baselines import BaselinesConfig, ExternalBaseline, ModelBaseline
from evaluation.method import Method, MethodRecipe
from evaluation.methods.external.catalogue import EXTERNAL
from evaluation.methods.external.record import facts as external_facts
from evaluation.methods.external.record import record_external
from evaluation.methods.published import methods as builders
from evaluation.methods.published import weights
from evaluation.methods.published.catalogue import PUBLISHED
from evaluation.methods.requirements import command_requirement, page
from evaluation.methods.states import State
from evaluation.records.ask import DidNotRun, record
from evaluation.records.method import ABOUT, LIST
from evaluation.records.room import Records, Shared, read_method, room_of
from evaluation.test_sets.spec import TestSet
from pipelines.stages.store import Store

log = logging.getLogger(__name__)


def record_baselines(config: EvaluationConfig, test_set: TestSet, root: Store) -> list[State]:
    """Record every enabled baseline on a list, as far as it is not recorded yet; the states of all that are known.

    Raises:
        BadSetup: the list is empty or cannot be read, or the disk is full.
    """
    baselines = config.baselines
    states = [_record_model(name, model, config, test_set, root) for name, model in baselines.models.items()]
    states += [_record_command(entry, test_set, root) for entry in baselines.commands.values()]
    return [*states, *_not_enabled(baselines)]


def recorded_recipes(config: EvaluationConfig, test_set: str, root: Store) -> list[MethodRecipe]:
    """The enabled baselines that are recorded on a test set. An evaluation reads their records and does not run them.

    Raises:
        BadSetup: a record was made with other settings than the profile's.
    """
    recipes: list[MethodRecipe] = []
    for name in config.baselines.enabled:
        found = read_method(room_of(root, test_set), name)
        if not found.store.exists(LIST):
            log.warning("%s is enabled but not recorded on %s: the report will have no row for it", name, test_set)
            continue
        facts, settings = (found.about.get(part) for part in ("facts", "settings"))
        if not (isinstance(facts, dict) and isinstance(settings, dict)):
            raise BadSetup(
                f"{found.store.url(ABOUT)} does not say what {name} was recorded with; record it again "
                "(`decoupage baselines`)"
            )
        _check_settings(name, config, facts | settings, found.store)
        recipes.append(MethodRecipe(name, found.gives, facts=facts, settings=settings, only_read=True))
    return recipes


def _record_model(name: str, model: ModelBaseline, config: EvaluationConfig, test_set: TestSet, root: Store) -> State:
    published = PUBLISHED[name]
    room = room_of(root, test_set.name)
    absent = [requirement for requirement in weights.requirements(name, model) if not requirement.present]
    if absent:
        detail = "; ".join(f"{requirement.found}. To get it: {requirement.fix}" for requirement in absent)
        return _not_here(name, published.title, detail, room, test_set)

    def make() -> Method:
        try:
            return cast(Method, getattr(builders, name)(model, weights.load(name, model), config.seed))
        except (RuntimeError, ValueError, OSError) as error:  # Out of memory, or files that do not fit each other.
            raise DidNotRun(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error

    settings = weights.settings(model) | {"seed": config.seed}
    recipe = MethodRecipe(name, frozenset([published.gives]), make, weights.facts(name, model), settings)
    try:
        return _recorded(name, published.title, record(test_set, [recipe], room))
    except DidNotRun as error:
        return State(name, published.title, "did not run", str(error))


def _record_command(entry: ExternalBaseline, test_set: TestSet, root: Store) -> State:
    title = EXTERNAL[entry.name].title if entry.name in EXTERNAL else entry.name
    room = room_of(root, test_set.name)
    requirement = command_requirement(entry)
    if not requirement.present:
        return _not_here(entry.name, title, f"{requirement.found}. To get it: {requirement.fix}", room, test_set)
    try:
        return _recorded(entry.name, title, record_external(test_set, entry, room))
    except DidNotRun as error:
        return State(entry.name, title, "did not run", str(error))


def _not_here(name: str, title: str, detail: str, room: Store, test_set: TestSet) -> State:
    """What was recorded while the baseline was present still counts, as long as it answers the whole current list."""
    found = read_method(room, name)
    if found.store.exists(LIST):
        whole, entries, shared = True, [], {}
        for case in test_set.cases():
            whole &= found.is_done(case, failures_count=True)
            entries.append(Entry(case.name, case.sha256))
            shared[case.name] = Shared.of(case)
        if whole:
            return _recorded(name, title, Records(room, tuple(entries), shared, {name: found}))
        found.store.remove(LIST)
    return State(name, title, "not here", detail)


def _recorded(name: str, title: str, records: Records) -> State:
    found, number = records.methods[name], len(records.entries)
    failures = found.failures(records.names)
    first = next(iter(failures.items()), None)
    if len(failures) == number:
        found.store.remove(LIST)
        raise DidNotRun(f"{name} has no answer for any of the {number} images; {first[0]}: {first[1]}" if first else "")
    said = f"{number} images, {len(failures)} without an answer"
    detail = f"{said}; {first[0]}: {first[1]}" if first else said
    digest = f"{records.list_sha256[:16]}-{found.fingerprint}"
    return State(name, title, "recorded", detail, number, len(failures), digest)


def _not_enabled(config: BaselinesConfig) -> Iterator[State]:
    for name, published in PUBLISHED.items():
        if name not in config.enabled:
            found = weights.requirements(name, getattr(config, name))
            fixes = "; ".join(requirement.fix for requirement in found if not requirement.present)
            detail = f"no weights: {fixes}" if fixes else "its weights are present"
            yield State(name, published.title, "not enabled", f"{detail} ({published.licence}; {page(name)})")
    for name, external in EXTERNAL.items():
        if name not in config.enabled:
            detail = f"runs as its own command ({external.licence}; {page(name)})"
            yield State(name, external.title, "not enabled", detail)


def _check_settings(name: str, config: EvaluationConfig, theirs: dict[str, Any], store: Store) -> None:
    """Compares settings only: a record saves hashing gigabytes of weights again."""
    if name in config.baselines.models:
        ours = weights.settings(config.baselines.models[name]) | {"seed": config.seed}
    else:
        ours = external_facts(config.baselines.commands[name])
    changed = [key for key, value in ours.items() if theirs.get(key) != value]
    if changed:
        raise BadSetup(
            f"{store.root} was recorded with other settings than the profile has now ({', '.join(changed)}); "
            "record the baselines again (materialize `baselines`, or `decoupage baselines`)"
        )
