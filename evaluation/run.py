"""One evaluation from beginning to end: runs every method on what is not recorded, scores the records, reports.

Pictures are read one by one and released once judged, so a list of any length takes the same memory.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from decoupage.faults import BadSetup
from evaluation.answer_grid import answer_grid
from evaluation.cases import Case, list_file
from evaluation.config import EvaluationConfig
from evaluation.controls import ask_controls, spread
from evaluation.gallery import choose_examples, make_examples
from evaluation.gallery_file import GALLERY, gallery_file
from evaluation.method import Answered, Failure, Layers, MethodRecipe
from evaluation.metrics.networks import Networks, load_networks
from evaluation.metrics.score import Scores, score, worst_scores
from evaluation.model_size import case_at, layers_at
from evaluation.page.write import write_pages
from evaluation.records.ask import record
from evaluation.records.room import Records, room_of
from evaluation.report import REPORT, About, Report, make_report
from evaluation.scores import ScoreTable
from evaluation.test_sets.spec import TestSet
from pipelines.stages.engine import ThreadEngine
from pipelines.stages.progress import Progress, Steps
from pipelines.stages.store import Store

if TYPE_CHECKING:
    from evaluation.metrics.perceptual import Lpips

LIST, SCORES, PICTURE = "list.json", "scores.csv", "answer.png"


def evaluate(
    test_set: TestSet,
    methods: Sequence[MethodRecipe],
    config: EvaluationConfig,
    out: Store | str,
    about: About | None = None,
    root: Store | str | None = None,
) -> Report:
    """Judge methods on a list, write the results, and the pages that show them: `judge`, then `write_pages`."""
    report = judge(test_set, methods, config, out, about, root)
    write_pages(out)
    return report


def judge(
    test_set: TestSet,
    methods: Sequence[MethodRecipe],
    config: EvaluationConfig,
    out: Store | str,
    about: About | None = None,
    root: Store | str | None = None,
) -> Report:
    """Judge methods on a list and write the results, for programs.

    Writes `list.json` (the list with a hash for every image), `scores.csv` (raw scores), `answer.png`,
    `gallery.json` (the pictures that pages show), and last `report.json`.

    Args:
        test_set: where the cases come from.
        methods: with different names.
        out: folder or store to write to.
        root: the methods' answers are kept in `records/<test set>/` of it; None = of `out`.

    Raises:
        BadSetup: there is no image, there are no methods, two of one name, or a metric's weights are the wrong ones.
    """
    names = [method.name for method in methods]
    if not names or len(set(names)) != len(names):
        raise BadSetup(f"an evaluation takes methods with different names, got {', '.join(names) or 'none'}")
    networks = load_networks(config.metrics)
    store, kept = (place if isinstance(place, Store) else Store(place) for place in (out, root or out))
    has_controls = any(method.controls for method in methods)
    steps = Steps(1 + len(methods) + 1 + has_controls + 1)
    records = record(test_set, methods, room_of(kept, test_set.name), steps=steps)
    answered = list(records.methods.values())
    model_size_px = next((method.size_px for method in reversed(methods) if method.size_px is not None), None)
    num_images = len(records.entries)
    scored = steps.next("scores", f"{num_images} images of {len(methods)} methods")
    table = score_all(test_set.cases(), answered, networks, model_size_px, Progress(scored, "images", num_images))
    if tuple(table.entries) != records.entries:
        raise BadSetup(f"the test set {test_set.name} changed while methods ran; evaluate again")
    facts = {method.name: dict(method.facts) for method in methods if method.facts}
    asked = {method.name: _asked(method) for method in methods}
    about = replace(about or About(), test_set=test_set.about, models=facts, asked=asked)
    if has_controls:
        steps.next("controls", "effect of the maps")
    report = make_report(table, config, about, _controls(test_set, methods, records, table, config.num_controls))
    steps.next("pictures")
    choice = choose_examples(table)
    examples = make_examples(test_set, answered, choice)
    listed = list_file(table.entries, test_set.about)
    store.write(LIST, (json.dumps(listed, indent=1) + "\n").encode())
    store.write(SCORES, table.to_frame().to_csv(index=False, float_format="%.6g").encode())
    grid = answer_grid(examples, choice.ranked_by, choice.rival)
    store.write(PICTURE, grid.png)
    store.write(GALLERY, gallery_file(report.values["list_sha256"], choice.ranked_by, examples, grid))
    store.write(REPORT, (json.dumps(report.values, indent=1, allow_nan=False) + "\n").encode())
    return report


def _controls(
    test_set: TestSet, methods: Sequence[MethodRecipe], records: Records, table: ScoreTable, num_cases: int
) -> ScoreTable | None:
    """Scores of the method that has controls, and of those, on a part of the list; None where no method has any."""
    method = next((method for method in methods if method.controls), None)
    if method is None:
        return None
    part = spread(table.names, num_cases)
    found = ask_controls(test_set, method, table, records.store, part)
    return score_all(test_set.cases(set(part)), [records.methods[method.name], *found])


def _asked(method: MethodRecipe) -> dict[str, Any]:
    """The settings with which a method ran, for the report."""
    works = {} if method.size_px is None else {"works_at_px": method.size_px}
    return {"picture": "at its own size"} | works | dict(method.settings)


def score_all(
    cases: Iterable[Case],
    methods: Sequence[Answered],
    networks: Networks | None = None,
    model_size_px: int | None = None,
    shown: Progress | None = None,
) -> ScoreTable:
    """The scores of every method on every case; threads read the answers and score them.

    Args:
        networks: for learned metrics; None = those are not measured.
        model_size_px: side of the area at which the model works: headline metrics are taken there, too.
        shown: where its progress is shown.
    """
    table = ScoreTable(networks=networks or Networks(), model_size_px=model_size_px)
    lpips = table.networks.lpips

    def asked(shown: Iterable[Case]) -> Iterator[tuple[Answered, Case, Case | None]]:
        for case in shown:
            table.add_image(case)
            small = None if model_size_px is None else case_at(case, model_size_px)
            for method in methods:
                yield method, case, small

    def scored(
        question: tuple[Answered, Case, Case | None],
    ) -> tuple[Answered, Case, Layers | Failure, Scores, Scores]:
        method, case, small = question
        answer = method.answer(case)
        found = _scores(case, answer, method.gives, lpips)
        return method, case, answer, found, {} if small is None else _scores(small, answer, method.gives, None)

    # NumPy and OpenCV release the interpreter lock, so no processes are needed.
    threads = ThreadEngine(len(os.sched_getaffinity(0)))
    with shown or Progress("scores", "images") as progress:
        for found in threads.map(scored, asked(progress.counting(cases))):
            table.add_answer(*found)
    return table


def _scores(case: Case, answer: Layers | Failure, gives: frozenset[str], lpips: "Lpips | None") -> Scores:
    if isinstance(answer, Failure):
        return worst_scores(case, gives, lpips)
    return score(case, layers_at(answer, case.size), lpips)
