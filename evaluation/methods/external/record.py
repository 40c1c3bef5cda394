"""Records what an external command makes of a list: runs it once for all missing images, and stores its output."""

import shutil

from decoupage.fingerprint import fingerprint
from evaluation.cases import Entry, list_sha256
from evaluation.config.baselines import INPUT, OUTPUT, ExternalBaseline
from evaluation.method import Failure, MethodRecipe
from evaluation.methods.external.contract import Output, write_case, write_list
from evaluation.methods.external.process import run_command
from evaluation.records.ask import DidNotRun, close, compare
from evaluation.records.method import LIST, MethodRecord
from evaluation.records.room import Records
from evaluation.test_sets.spec import TestSet
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder

_WORK = "work"


def facts(baseline: ExternalBaseline) -> dict[str, object]:
    """What is known of the method; the rest is its owner's."""
    return {"command": list(baseline.command), "gives": sorted(baseline.gives), "licence": baseline.licence}


def external_recipe(baseline: ExternalBaseline) -> MethodRecipe:
    """The method as it is recorded; it is asked by `record_external`, all at once."""
    return MethodRecipe(baseline.name, frozenset(baseline.gives), facts=facts(baseline))


def record_external(test_set: TestSet, baseline: ExternalBaseline, room: Store) -> Records:
    """Run the command on the images that are not there yet; one that is missing afterwards is a failure.

    Pictures also count if the command was killed or failed, as long as it said which list they answer.

    Raises:
        DidNotRun: it did not say which list its pictures answer.
        BadSetup: the list is empty, or the disk is full.
    """
    records, missing = compare(test_set, [external_recipe(baseline)], room)
    record = records.methods[baseline.name]
    if lacking := set(missing[baseline.name]):
        record.store.remove(LIST)
        _ask(test_set, baseline, record, [entry for entry in records.entries if entry.name in lacking])
    close(records, test_set)
    return records


def _ask(test_set: TestSet, baseline: ExternalBaseline, record: MethodRecord, missing: list[Entry]) -> None:
    # One folder for each question, so that what is left of an older one is never taken for an answer to this.
    question = fingerprint({"method": record.fingerprint, "list": list_sha256(missing)})
    work = WorkingFolder(record.store, _WORK).path
    folder = work / question
    for other in work.glob("*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)  # Folders that it made unremovable are not an answer to this list.
    given, made = folder / "input", folder / "output"
    made.mkdir(parents=True, exist_ok=True)
    store = Store(str(given))
    names = {entry.name for entry in missing}
    lines = [write_case(store, case) for case in test_set.cases(names)]
    sha256 = write_list(store, lines, dict(test_set.about))
    places = {INPUT: str(given), OUTPUT: str(made)}
    command = [_filled(argument, places) for argument in baseline.command]
    ending = run_command(command, folder, baseline.time_limit_s, baseline.variables)
    output = Output(made)
    if fault := output.fault(sha256):
        raise DidNotRun(f"{baseline.name} {ending.fault}" if ending.fault else f"{baseline.name}: {fault}")
    for case in test_set.cases(names):
        found = output.answer(case, baseline.gives)
        if isinstance(found, Failure) and ending.fault:
            found = Failure(f"{found.reason}; the command {ending.fault}")
        record.put(case, found)
    shutil.rmtree(folder, ignore_errors=True)


def _filled(argument: str, places: dict[str, str]) -> str:
    for place, path in places.items():
        argument = argument.replace(place, path)
    return argument
