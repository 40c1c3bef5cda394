"""One evaluation from beginning to end: reads the list, asks every method, scores, writes the report.

Pictures pass through in batches and are let go once judged, so a list of any length takes the same memory. Those
that the page shows are chosen by their scores and made once more.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from decoupage.faults import BadSetup
from evaluation.cases import Case, list_file
from evaluation.config import EvaluationConfig
from evaluation.gallery import before_after, choose_examples, make_examples
from evaluation.gallery_file import GALLERY, gallery_file
from evaluation.methods.spec import Failure, Layers, Method, answers
from evaluation.metrics.networks import Networks, load_networks
from evaluation.metrics.score import Scores, score, worst_scores
from evaluation.page.write import write_pages
from evaluation.report import REPORT, About, Report, make_report
from evaluation.scores import ScoreTable
from evaluation.test_sets.spec import TestSet
from pipelines.stages.engine import ThreadEngine
from pipelines.stages.progress import Progress
from pipelines.stages.store import Store

LIST, SCORES, PICTURE = "list.json", "scores.csv", "before_after.png"


def evaluate(
    test_set: TestSet,
    methods: Sequence[Method],
    config: EvaluationConfig,
    out: Store | str,
    about: About | None = None,
) -> Report:
    """Judge methods on a list, write what came of it, and the pages that show it: `judge`, then `write_pages`."""
    report = judge(test_set, methods, config, out, about)
    write_pages(out)
    return report


def judge(
    test_set: TestSet,
    methods: Sequence[Method],
    config: EvaluationConfig,
    out: Store | str,
    about: About | None = None,
) -> Report:
    """Judge methods on a list and write what came of it, for programs.

    Writes `list.json` (the list with a hash for every image), `scores.csv` (raw scores), `before_after.png`,
    `gallery.json` (the pictures that pages show), and last `report.json`.

    Args:
        test_set: where the cases come from.
        methods: with different names.
        out: folder or store to write to.

    Raises:
        BadSetup: there is no image, there are no methods, two of one name, or a metric's weights are the wrong ones.
    """
    names = [method.name for method in methods]
    if not names or len(set(names)) != len(names):
        raise BadSetup(f"an evaluation takes methods with different names, got {', '.join(names) or 'none'}")
    about = about or About()
    networks = load_networks(config.metrics)
    table = score_all(test_set.cases(), methods, config.batch_size, networks)
    if not table.entries:
        raise BadSetup(f"the test set {test_set.name} holds no image; make it first")
    report = make_report(table, config, replace(about, test_set=test_set.about))
    choice = choose_examples(table)
    examples = make_examples(test_set, methods, choice)
    store = out if isinstance(out, Store) else Store(out)
    listed = list_file(table.entries, test_set.about)
    store.write(LIST, (json.dumps(listed, indent=1) + "\n").encode())
    store.write(SCORES, table.to_frame().to_csv(index=False, float_format="%.6g").encode())
    store.write(PICTURE, before_after(examples))
    store.write(GALLERY, gallery_file(report.values["list_sha256"], choice.ranked_by, examples))
    store.write(REPORT, (json.dumps(report.values, indent=1, allow_nan=False) + "\n").encode())
    return report


def score_all(
    cases: Iterable[Case], methods: Sequence[Method], batch_size: int, networks: Networks | None = None
) -> ScoreTable:
    """The scores of every method on every case, which threads take while the methods are asked on.

    Args:
        networks: for learned metrics; None = those are not measured.
    """
    table = ScoreTable(networks=networks or Networks())
    lpips = table.networks.lpips

    def answered(shown: Iterable[Case]) -> Iterator[tuple[Method, Case, Layers | Failure]]:
        for batch in batches(shown, batch_size):
            for case in batch:
                table.add_image(case)
            for method in methods:
                for case, answer in zip(batch, answers(method, batch), strict=True):
                    yield method, case, answer

    def scored(asked: tuple[Method, Case, Layers | Failure]) -> tuple[Method, Case, Layers | Failure, Scores]:
        method, case, answer = asked
        if isinstance(answer, Failure):
            return *asked, worst_scores(case, method.gives, lpips)
        return *asked, score(case, answer, lpips)

    # NumPy and OpenCV let go of the interpreter, so nothing need be sent to processes.
    threads = ThreadEngine(len(os.sched_getaffinity(0)))
    with Progress("evaluation", "images") as progress:
        for found in threads.map(scored, answered(progress.counting(cases))):
            table.add_answer(*found)
    return table


def batches(cases: Iterable[Case], size: int) -> Iterator[list[Case]]:
    """The cases in order, at most `size` at once, and only pictures of one size together."""
    batch: list[Case] = []
    for case in cases:
        if batch and (len(batch) == size or case.size != batch[0].size):
            yield batch
            batch = []
        batch.append(case)
    if batch:
        yield batch
