"""The answer that a report leads with: is the adapter better than the simplest thing one could do, and by how much.

One sentence, and the difference to each rival on one scale; both also where the answer is no.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.metrics.catalogue import Metric, Part, find_metric
from evaluation.page.curves import ticks
from evaluation.page.differences import (
    FIRST,
    Counts,
    Difference,
    Headline,
    Values,
    counts_of,
    difference_of,
    headline_differences,
)
from evaluation.page.figures import figure, span
from evaluation.rivals import MAIN, SIMPLE, SIMPLE_NAMES, SimplePart, best_rivals
from evaluation.statistics import Seen

QUESTION = "Is the adapter better than the simplest thing one could do?"
Word = Literal["Yes", "In part", "No", "Not known"]
_UNITS: dict[Part, str] = {"background": "dB PSNR where the target shows", "foreground": "soft IoU"}
_WORDS: tuple[Seen, ...] = ("better", "worse")
MARGIN_PERCENT = 3.0
"""Room at both ends of the scale, so that no mark is cut."""


@dataclass(frozen=True)
class Answer:
    """The answer in one sentence.

    Attributes:
        word: what it begins with.
        reasons: a clause for each part; names of methods stand between backticks.
    """

    word: Word
    reasons: Sequence[str]

    @property
    def sentence(self) -> str:
        """Word and clauses."""
        return f"{self.word}: {'; '.join(self.reasons)}."


@dataclass(frozen=True)
class RivalRow:
    """One rival on the scale.

    Attributes:
        name: of the rival.
        kind: what it is, in words.
        counts: of verdicts over all metrics.
        low, mean, high: places on the scale in percent of its width; the ends None where there is no interval.
    """

    name: str
    kind: str
    difference: Difference
    counts: Counts
    low: float | None
    mean: float
    high: float | None

    @property
    def said(self) -> str:
        """The verdict on the adapter by this metric, in words."""
        words = {"even": "cannot be told", "unseen": "too small to see", "undecided": "undecided"}
        return words.get(self.difference.seen, self.difference.seen)


@dataclass(frozen=True)
class Scale:
    """The rivals of one part on a common scale, the best of the simple ones first.

    Attributes:
        ticks: (place in percent, number) along it; one is 0.
        zero: its place in percent.
    """

    part: SimplePart
    metric: Metric
    rows: Sequence[RivalRow]
    ticks: Sequence[tuple[float, str]]
    zero: float


def answer(values: Values) -> Answer | None:
    """The adapter against the best simple method of each part; None where there is no such pair."""
    best = best_rivals(values["methods"])
    found = {(pair.main.metric.part, pair.main.second): pair for pair in headline_differences(values)}
    pairs = [found[part, name] for part, name in best.items() if (part, name) in found]
    if not pairs:
        return None
    return Answer(_word(pairs), [_clause(pair) for pair in pairs])


def scales(values: Values) -> list[Scale]:
    """Differences of the main metrics to each rival; parts without any are left out."""
    best = best_rivals(values["methods"])
    found = []
    for part, name in best.items():
        rows = [row for row in _rivals(values, part) if row is not None]
        if rows:
            found.append(_scale(values, part, name, rows))
    return found


def _word(pairs: Sequence[Headline]) -> Word:
    verdicts = [pair.verdict for pair in pairs]
    if all(verdict == "better" for verdict in verdicts):
        return "Yes"
    if any(pair.main.seen == "better" for pair in pairs):
        return "In part"
    if "undecided" in verdicts and not {"worse", "mixed"} & set(verdicts):
        return "Not known"
    return "No"


def _clause(pair: Headline) -> str:
    main, verdict = pair.main, pair.verdict
    part = main.metric.part
    said = {
        "better": "is better than",
        "worse": "is worse than",
        "even": "cannot be told from",
        "unseen": "differs too little to see from",
        "undecided": "is undecided against",
        "mixed": "is partly better and partly worse than",
    }[verdict]
    rival = "`given_mask`" if main.second == "given_mask" else f"that of `{main.second}`, the best simple method"
    ends = "no interval" if main.cell["low"] is None else f"95\u00a0%: {span(main.cell, main.metric, True)}"
    details = [f"{figure(main.cell['mean'], main.metric, True)} {_UNITS[part]}, {ends}"]
    if verdict == "undecided":
        details.append(main.why_undecided)
    if verdict in ("worse", "mixed"):
        others = Headline(pair.differences[1:])  # The first figure alone may say something else.
        details += [f"{word} by {others.by(word)}" for word in _WORDS if others.by(word)]
    return f"its {part} {said} {rival} ({'; '.join(details)})"


def _rivals(values: Values, part: SimplePart) -> list[Difference | None]:
    """The best simple method, the other simple ones from good to bad, the base, and all other methods."""
    methods = values["methods"]
    pairs = [name.split("-", 1)[1] for name in values["differences"] if name.startswith(f"{FIRST}-")]
    means = {name: cell["mean"] for name in pairs if (cell := methods[name][part].get(MAIN[part])) is not None}
    simple = sorted((name for name in means if name in SIMPLE[part]), key=lambda name: -means[name])
    others = [name for name in ("base", *means) if name in means and name not in (*simple, "input")]
    return [difference_of(values, f"{FIRST}-{name}", part, MAIN[part]) for name in dict.fromkeys([*simple, *others])]


def _scale(values: Values, part: SimplePart, best: str, rows: Sequence[Difference]) -> Scale:
    ends = [0.0, *(row.cell[end] for row in rows for end in ("low", "mean", "high") if row.cell[end] is not None)]
    numbers = ticks(min(ends), max(ends))

    def place(value: float) -> float:
        share = (value - numbers[0]) / (numbers[-1] - numbers[0])
        return round(MARGIN_PERCENT + share * (100 - 2 * MARGIN_PERCENT), 2)

    drawn = [
        RivalRow(
            row.second,
            _kind(row.second, part, best),
            row,
            counts_of(values, f"{FIRST}-{row.second}"),
            None if row.cell["low"] is None else place(row.cell["low"]),
            place(row.cell["mean"]),
            None if row.cell["high"] is None else place(row.cell["high"]),
        )
        for row in rows
    ]
    metric = find_metric(part, MAIN[part])
    told = [(place(number), f"{number:+g}".replace("-", "\u2212") if number else "0") for number in numbers]
    return Scale(part, metric, drawn, told, place(0.0))


def _kind(name: str, part: Part, best: str) -> str:
    if name == "given_mask":
        return "the given mask"
    if name == best:
        return "best simple method"
    return "simple method" if name in SIMPLE_NAMES else "the base alone" if name == "base" else "baseline"
