"""The summary that `make demo` prints at its end: results, their paths, the stand-ins; or what failed."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from assets_defs.evaluation import SHORT
from evaluation.checks import MAIN_FIGURES, alpha_beats_given_mask, background_beats_base, maps_help
from evaluation.commands import ADAPTER, REPORT
from evaluation.gate.history import read_history
from evaluation.gate.verdict import headline
from evaluation.rivals import rivals_first
from pipelines.dataset.build import SUMMARY as DATASET
from pipelines.dataset.statistics import Statistics, num_layers
from pipelines.stages.store import Store
from profiles.profile import Profile

PARTS = {"background": "background", "foreground": "foreground", "recomposition": "recomposed"}
WIDTH = 80
"""Width of a terminal in characters."""
INTERRUPTED = "interrupted; what is done stays, and the next run continues from there"
_INTERRUPTIONS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")


def summary(profile: Profile, seconds: float, up_to_date: Sequence[str] = ()) -> str:
    """A few lines on the finished dataset, the adapter, and its report.

    Args:
        up_to_date: assets of which nothing had to be made.
    """
    store = Store(profile.root)
    statistics = Statistics.from_dict(json.loads(store.read(DATASET))["statistics"])
    dropped = {f"{stage}: {why}": num for stage, reasons in statistics.drops.items() for why, num in reasons.items()}
    size = f"{statistics.num_shards} shards, {statistics.num_bytes / 1e6:.1f} MB"
    lines = [
        "",
        f"The {profile.name} dataset: {statistics.num_scenes} scenes, {statistics.num_layers} triplets in {size}.",
        f"  layers by kind    {_counts(statistics.foreground_kinds)}",
        f"  layers by level   {_counts(num_layers(statistics.occlusion))}",
        f"  scenes by layers  {_counts(statistics.scenes_by_num_layers)}",
        f"  not used          {_counts(dropped) or 'nothing'}",
        "",
        f"  shards            {store.url('shards')}",
        f"  data card         {store.url('dataset/README.md')}",
        f"  pictures          {store.url('dataset/sheets')}",
        f"  libraries         {store.url('library')}",
        f"  adapter           {store.url(ADAPTER)}",
        "",
        *judgement(store),
        "",
        "Stand-ins in this profile:",
        *(f"  {used} for {real}" for used, real in _report(store)["stand_ins"].items()),
        "",
        *([textwrap.fill(f"Up to date, not made again: {', '.join(up_to_date)}.", WIDTH)] if up_to_date else []),
        f"Finished in {seconds:.0f} s. To look at every stage with pictures: make ui",
    ]
    return "\n".join(lines)


def _report(store: Store) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(store.read(f"{REPORT}/report.json"))
    return values


def judgement(store: Store) -> Iterator[str]:
    """Lines: the answer, each rival, the main figures of every method, three verdicts, and where the report is."""
    # Their figures need scikit-image, and every worker loads this module.
    from evaluation.page.answer import QUESTION, answer, scales
    from evaluation.page.figures import figure

    values = _report(store)
    if (found := answer(values)) is not None:
        yield QUESTION
        yield textwrap.fill(found.sentence.replace("`", ""), WIDTH, initial_indent="  ", subsequent_indent="  ")
        yield ""
    for scale in scales(values):
        yield f"Adapter minus each rival, {scale.metric.part}, {scale.metric.title}; all metrics:"
        for row in scale.rows:
            gain = f"{figure(row.difference.cell['mean'], scale.metric, True)} {scale.metric.unit}".rstrip()
            words = f"  {row.name:14} {gain:>9}  {row.said}; {row.counts.words}"
            yield textwrap.fill(words, WIDTH, subsequent_indent=" " * 28)
        yield ""
    yield (
        f"Judged on {values['num_images']} images of {values['num_scenes']} held-out scenes, "
        f"{values['num_photographs']} photographs and {values['num_origins']} origins (means):"
    )
    heads = [PARTS[part] for part, _ in MAIN_FIGURES]
    yield _row("", [head if head not in heads[:place] else "" for place, head in enumerate(heads)])
    yield _row("", [SHORT[metric] for _, metric in MAIN_FIGURES])
    for name, means in rivals_first(values["methods"]).items():
        yield _row(name, [_mean(means[part][metric]) for part, metric in MAIN_FIGURES])
    yield ""
    for result in (background_beats_base(values), alpha_beats_given_mask(values), maps_help(values)):
        yield textwrap.fill(result.sentence, WIDTH, initial_indent="  ", subsequent_indent="    ")
    yield ""
    yield f"  report            {store.url(f'{REPORT}/report.html')}"
    yield f"  its pictures      {store.url(f'{REPORT}/answer.png')}"
    if decisions := read_history(store):
        yield f"  champion          {headline(decisions[-1])} (`decoupage champion show` says why)"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"  {name:14}" + "".join(f"{cell:>11}" for cell in cells)


def failures(result: dg.ExecuteInProcessResult) -> str:
    """The failed steps and checks of a run, with their messages."""
    lines = ["The run failed."]
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            error = event.step_failure_data.error.cause or event.step_failure_data.error
            message = INTERRUPTED if error.cls_name in _INTERRUPTIONS else error.message.strip()
            lines.append(f"  {event.step_key}: {message}")
    lines += [
        f"  check {found.asset_key.to_user_string()}.{found.check_name}: {found.description}"
        for found in result.get_asset_check_evaluations()
        if not found.passed
    ]
    return "\n".join(lines)


def _mean(figure: dict[str, Any] | None) -> str:
    return "-" if figure is None else f"{figure['mean']:.2f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())
