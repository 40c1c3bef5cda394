"""Records what an external command makes of a list: asks it once for all that is missing, and takes in what it made."""

import shutil
from pathlib import Path

from decoupage.fingerprint import fingerprint
from evaluation.cases import Entry, list_sha256
from evaluation.config.baselines import INPUT, OUTPUT, ExternalBaseline
from evaluation.methods.external.contract import Output, write_case, write_list
from evaluation.methods.external.process import run_command
from evaluation.methods.record import DidNotRun, Recorded, Recording
from evaluation.methods.spec import Failure
from evaluation.test_sets.spec import TestSet
from pipelines.stages.progress import Progress
from pipelines.stages.store import Store

_WORK = "work"


def facts(baseline: ExternalBaseline) -> dict[str, object]:
    """What is known of the method. The rest is in the hands of its owner."""
    return {"command": list(baseline.command), "gives": sorted(baseline.gives), "licence": baseline.licence}


def record_external(test_set: TestSet, baseline: ExternalBaseline, recording: Recording) -> Recorded:
    """Run the command on the images that are not there yet; one that is missing afterwards is a failure.

    Pictures count also when the command was killed or failed, as long as it said which list they answer.

    Raises:
        DidNotRun: there is no picture of it on the whole list.
        BadSetup: the list is empty, or the disk is full.
    """
    entries, missing = _compare(test_set, recording)
    if missing:
        recording.open()
        _ask(test_set, baseline, recording, missing)
    return recording.finish(entries, test_set.about)


def _compare(test_set: TestSet, recording: Recording) -> tuple[list[Entry], list[Entry]]:
    """(the list, that of it which has no answer yet)."""
    entries, missing = [], []
    with Progress(recording.name, "images looked at") as progress:
        for case in progress.counting(test_set.cases()):
            entries.append(Entry(case.name, case.sha256))
            if not recording.is_done(case):
                missing.append(entries[-1])
    return entries, missing


def _ask(test_set: TestSet, baseline: ExternalBaseline, recording: Recording, missing: list[Entry]) -> None:
    # One folder for each question, so that what is left of an older one is never taken for an answer to this.
    question = fingerprint({"method": recording.fingerprint, "list": list_sha256(missing)})
    work = Path(recording.store.url(_WORK)).absolute()
    folder = work / question
    for other in work.glob("*"):
        if other != folder:
            shutil.rmtree(other)
    given, made = folder / "input", folder / "output"
    made.mkdir(parents=True, exist_ok=True)
    store = Store(str(given))
    names = {entry.name for entry in missing}
    lines = [write_case(store, case) for case in test_set.cases(names)]
    sha256 = write_list(store, lines, dict(test_set.about))
    places = {INPUT: str(given), OUTPUT: str(made)}
    ending = run_command([_filled(argument, places) for argument in baseline.command], folder, baseline.time_limit_s)
    output = Output(made)
    if fault := output.fault(sha256):
        raise DidNotRun(f"{baseline.name} {ending.fault}" if ending.fault else f"{baseline.name}: {fault}")
    for case in test_set.cases(names):
        answer = output.answer(case, baseline.gives)
        if isinstance(answer, Failure) and ending.fault:
            answer = Failure(f"{answer.reason}; the command {ending.fault}")
        recording.put(case, answer)
    shutil.rmtree(folder)


def _filled(argument: str, places: dict[str, str]) -> str:
    for place, path in places.items():
        argument = argument.replace(place, path)
    return argument
