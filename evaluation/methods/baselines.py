"""The profile's baselines: what each needs, recording them all on a list, and reading the recordings back.

Recordings lie in `<root>/baselines/<test set>/<method>/`. A baseline that cannot run stops no other one: it has a
state that says why and how to mend it, and no row in a report.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from evaluation.config import EvaluationConfig
from evaluation.config.baselines import BaselinesConfig, ExternalBaseline, ModelBaseline
from evaluation.methods.external.catalogue import EXTERNAL
from evaluation.methods.external.record import DidNotRun, record_external
from evaluation.methods.external.record import facts as external_facts
from evaluation.methods.published import methods as builders
from evaluation.methods.published import weights
from evaluation.methods.published.catalogue import PUBLISHED
from evaluation.methods.record import ABOUT, Recorded, Recording, record
from evaluation.methods.recorded import LIST, RecordedOutputs
from evaluation.methods.spec import Method
from evaluation.test_sets.spec import TestSet
from pipelines.faults import BadSetup
from pipelines.needs import Need
from pipelines.store import Store

FOLDER = "baselines"
"""Of the root."""
Word = Literal["recorded", "not enabled", "not here", "did not run"]


@dataclass(frozen=True)
class State:
    """How one baseline stands.

    Attributes:
        word: `recorded`; `not enabled` in the profile; `not here`: weights or program missing; `did not run`.
        detail: how to get it, or what went wrong.
        recorded: what came of it, where it is recorded.
    """

    name: str
    title: str
    word: Word
    detail: str
    recorded: Recorded | None = None


def needs(config: BaselinesConfig) -> list[Need]:
    """Files and programs of the enabled baselines. Nothing is downloaded or loaded."""
    models = [need for name, model in config.models.items() for need in weights.needs(name, model)]
    return [*models, *(_command_need(entry) for entry in config.commands.values())]


def record_baselines(config: EvaluationConfig, test_set: TestSet, root: Store) -> list[State]:
    """Record every enabled baseline on a list, as far as it is not recorded yet; the states of all that are known.

    Raises:
        BadSetup: the list is empty or cannot be read, the root is no local folder, or the disk is full.
    """
    baselines = config.baselines
    if baselines.enabled and not root.is_local:
        raise BadSetup(f"baselines are recorded in a local folder, and {root.root} is none: set DECOUPAGE_ROOT")
    states = {state.name: state for state in _not_enabled(baselines)}
    for name, model in baselines.models.items():
        states[name] = _record_model(name, model, config, test_set, root)
    for name, entry in baselines.commands.items():
        states[name] = _record_command(entry, test_set, root)
    return list(states.values())


def recorded_methods(
    config: BaselinesConfig, test_set: str, root: Store
) -> tuple[list[Method], dict[str, dict[str, Any]]]:
    """(methods, facts that identify them) of the enabled baselines that are recorded on a test set.

    Raises:
        BadSetup: a recording was made with other settings than the profile's.
    """
    methods: list[Method] = []
    facts: dict[str, dict[str, Any]] = {}
    for name in config.enabled:
        store = _place(root, test_set, name)
        if not store.exists(LIST):
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
    absent = [need for need in weights.needs(name, model) if not need.present]
    if absent:
        detail = "; ".join(f"{need.found}. To get it: {need.remedy}" for need in absent)
        return State(name, published.title, "not here", detail)
    facts = weights.facts(name, model) | {"seed": config.seed}
    recording = Recording(_place(root, test_set.name, name), name, [published.gives], facts)
    build = getattr(builders, name)
    done = record(test_set, recording, lambda: build(model, weights.load(name, model), config.seed))
    return _recorded(published.title, done)


def _record_command(entry: ExternalBaseline, test_set: TestSet, root: Store) -> State:
    title = EXTERNAL[entry.name].title if entry.name in EXTERNAL else entry.name
    need = _command_need(entry)
    if not need.present:
        return State(entry.name, title, "not here", f"{need.found}. To get it: {need.remedy}")
    recording = Recording(_place(root, test_set.name, entry.name), entry.name, entry.gives, external_facts(entry))
    try:
        return _recorded(title, record_external(test_set, entry, recording))
    except DidNotRun as error:
        return State(entry.name, title, "did not run", str(error))


def _recorded(title: str, done: Recorded) -> State:
    said = f"{done.num_images} images, {len(done.failures)} failures"
    first = next(iter(done.failures.items()), None)
    return State(done.name, title, "recorded", f"{said}; {first[0]}: {first[1]}" if first else said, done)


def _not_enabled(config: BaselinesConfig) -> Iterator[State]:
    for name, published in PUBLISHED.items():
        if name not in config.enabled:
            found = weights.needs(name, getattr(config, name))
            remedies = "; ".join(need.remedy for need in found if not need.present)
            detail = f"no weights: {remedies}" if remedies else "its weights are here"
            yield State(name, published.title, "not enabled", f"{detail} ({published.licence}; {_page(name)})")
    for name, external in EXTERNAL.items():
        if name not in config.enabled:
            detail = f"runs as a command of its own ({external.licence}; {_page(name)})"
            yield State(name, external.title, "not enabled", detail)


def _command_need(entry: ExternalBaseline) -> Need:
    program = shutil.which(entry.command[0])
    remedy = f"install it and name its command in evaluation.baselines.external ({_page(entry.name)})"
    return Need(f"evaluation.baselines.{entry.name}", program is not None, program or f"no {entry.command[0]}", remedy)


def _page(name: str) -> str:
    known = name in PUBLISHED or name in EXTERNAL
    return f"docs/baselines/{name}.md" if known else "docs/baselines.md"


def _check_settings(name: str, config: BaselinesConfig, about: dict[str, Any], store: Store) -> None:
    """Settings only: hashing gigabytes of weights again is what a recording spares."""
    if name in config.models:
        ours, theirs = weights.settings(config.models[name]), about["facts"].get("settings")
    else:
        ours, theirs = external_facts(config.commands[name]), about["facts"]
    if ours != theirs:
        raise BadSetup(
            f"{store.root} was recorded with other settings than evaluation.baselines has for {name} now; "
            "record the baselines again (materialize `baselines`, or `decoupage evaluate --baselines`)"
        )
