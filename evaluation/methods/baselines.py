"""The profile's baselines: recording them all on a list, and reading the recordings back as methods.

Recordings lie in `<root>/baselines/<test set>/<method>/`. A baseline that cannot run stops no other one: it has a
state that says why and how to mend it, and no row in a report.
"""

import json
import logging
from collections.abc import Iterator
from typing import Any, cast

from decoupage.faults import BadSetup
from evaluation.cases import Entry, list_sha256
from evaluation.config import EvaluationConfig
from evaluation.config.baselines import BaselinesConfig, ExternalBaseline, ModelBaseline
from evaluation.methods.external.catalogue import EXTERNAL
from evaluation.methods.external.record import facts as external_facts
from evaluation.methods.external.record import record_external
from evaluation.methods.published import methods as builders
from evaluation.methods.published import weights
from evaluation.methods.published.catalogue import PUBLISHED
from evaluation.methods.record import ABOUT, DidNotRun, Recorded, Recording, record
from evaluation.methods.recorded import FAILURES, LIST, RecordedOutputs
from evaluation.methods.requirements import command_requirement, page
from evaluation.methods.spec import Method
from evaluation.methods.states import State
from evaluation.test_sets.spec import TestSet
from pipelines.stages.store import Store

log = logging.getLogger(__name__)
FOLDER = "baselines"
"""Of the root."""


def record_baselines(config: EvaluationConfig, test_set: TestSet, root: Store) -> list[State]:
    """Record every enabled baseline on a list, as far as it is not recorded yet; the states of all that are known.

    Raises:
        BadSetup: the list is empty or cannot be read, the root is no local folder, or the disk is full.
    """
    baselines = config.baselines
    if baselines.enabled and not root.is_local:
        raise BadSetup(f"baselines are recorded in a local folder, and {root.root} is none: set DECOUPAGE_ROOT")
    states = [_record_model(name, model, config, test_set, root) for name, model in baselines.models.items()]
    states += [_record_command(entry, test_set, root) for entry in baselines.commands.values()]
    return [*states, *_not_enabled(baselines)]


def recorded_methods(
    config: EvaluationConfig, test_set: str, root: Store
) -> tuple[list[Method], dict[str, dict[str, Any]]]:
    """(methods, facts that identify them) of the enabled baselines that are recorded on a test set.

    Raises:
        BadSetup: a recording was made with other settings than the profile's.
    """
    methods: list[Method] = []
    facts: dict[str, dict[str, Any]] = {}
    for name in config.baselines.enabled:
        store = _place(root, test_set, name)
        if not store.exists(LIST):
            log.warning("%s is enabled and not recorded on %s: the report will have no row for it", name, test_set)
            continue
        about = json.loads(store.read(ABOUT))
        _check_settings(name, config, about, store)
        methods.append(RecordedOutputs(name, store.url(""), about["gives"]))
        facts[name] = about["facts"]
    return methods, facts


def _place(root: Store, test_set: str, name: str) -> Store:
    return Store(root.url(f"{FOLDER}/{test_set}/{name}"))


def _record_model(name: str, model: ModelBaseline, config: EvaluationConfig, test_set: TestSet, root: Store) -> State:
    published = PUBLISHED[name]
    place = _place(root, test_set.name, name)
    absent = [requirement for requirement in weights.requirements(name, model) if not requirement.present]
    if absent:
        detail = "; ".join(f"{requirement.found}. To get it: {requirement.fix}" for requirement in absent)
        return _not_here(name, published.title, detail, place, test_set)

    def make() -> Method:
        try:
            return cast(Method, getattr(builders, name)(model, weights.load(name, model), config.seed))
        except (RuntimeError, ValueError, OSError) as error:  # Out of memory, or files that do not fit each other.
            raise DidNotRun(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error

    facts = weights.facts(name, model) | {"seed": config.seed}
    try:
        return _recorded(published.title, record(test_set, Recording(place, name, [published.gives], facts), make))
    except DidNotRun as error:
        return State(name, published.title, "did not run", str(error))


def _record_command(entry: ExternalBaseline, test_set: TestSet, root: Store) -> State:
    title = EXTERNAL[entry.name].title if entry.name in EXTERNAL else entry.name
    place = _place(root, test_set.name, entry.name)
    requirement = command_requirement(entry)
    if not requirement.present:
        return _not_here(entry.name, title, f"{requirement.found}. To get it: {requirement.fix}", place, test_set)
    recording = Recording(place, entry.name, entry.gives, external_facts(entry))
    try:
        return _recorded(title, record_external(test_set, entry, recording))
    except DidNotRun as error:
        return State(entry.name, title, "did not run", str(error))


def _not_here(name: str, title: str, detail: str, place: Store, test_set: TestSet) -> State:
    """What was recorded while it was here still counts, as long as it answers the whole list of today."""
    if place.exists(LIST):
        there = {image["name"]: image["sha256"] for image in json.loads(place.read(LIST))["images"]}
        entries = [Entry(case.name, case.sha256) for case in test_set.cases()]
        if all(there.get(entry.name) == entry.sha256 for entry in entries):
            fingerprint = json.loads(place.read(ABOUT))["fingerprint"]
            failures = json.loads(place.read(FAILURES))
            return _recorded(title, Recorded(name, list_sha256(entries), fingerprint, len(entries), failures))
        place.remove(LIST)
    return State(name, title, "not here", detail)


def _recorded(title: str, done: Recorded) -> State:
    said = f"{done.num_images} images, {len(done.failures)} without an answer"
    first = next(iter(done.failures.items()), None)
    detail = f"{said}; {first[0]}: {first[1]}" if first else said
    digest = f"{done.list_sha256[:16]}-{done.fingerprint}"
    return State(done.name, title, "recorded", detail, done.num_images, len(done.failures), digest)


def _not_enabled(config: BaselinesConfig) -> Iterator[State]:
    for name, published in PUBLISHED.items():
        if name not in config.enabled:
            found = weights.requirements(name, getattr(config, name))
            fixes = "; ".join(requirement.fix for requirement in found if not requirement.present)
            detail = f"no weights: {fixes}" if fixes else "its weights are here"
            yield State(name, published.title, "not enabled", f"{detail} ({published.licence}; {page(name)})")
    for name, external in EXTERNAL.items():
        if name not in config.enabled:
            detail = f"runs as a command of its own ({external.licence}; {page(name)})"
            yield State(name, external.title, "not enabled", detail)


def _check_settings(name: str, config: EvaluationConfig, about: dict[str, Any], store: Store) -> None:
    """Settings only: hashing gigabytes of weights again is what a recording spares."""
    theirs = about["facts"]
    if name in config.baselines.models:
        ours = {"settings": weights.settings(config.baselines.models[name]), "seed": config.seed}
    else:
        ours = external_facts(config.baselines.commands[name])
    changed = [key for key, value in ours.items() if theirs.get(key) != value]
    if changed:
        raise BadSetup(
            f"{store.root} was recorded with other settings than the profile has now ({', '.join(changed)}); "
            "record the baselines again (materialize `baselines`, or `decoupage baselines`)"
        )
