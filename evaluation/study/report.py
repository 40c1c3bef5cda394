"""The report of a study: `report.json`, the same as a page and as Markdown, and every raw vote.

The figures come from `figures.py`; `report_page.py` shows them.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from decoupage.faults import BadSetup
from evaluation.config import Aspect
from evaluation.study.ballots import Ballot, Rater, read_ballots, to_frame
from evaluation.study.figures import (
    PRIOR_WINS,
    Contests,
    contests,
    krippendorff_alpha,
    resampled,
    resampled_strengths,
    same_share,
    spread,
    strengths,
    win_rates,
)
from evaluation.study.folder import Study
from evaluation.study.report_page import render_markdown, render_page
from evaluation.study.votes import NOT_SURE, TIE, Votes
from pipelines.stages.store import Store

REPORT, PAGE, MARKDOWN, CSV, JSON = "report.json", "report.html", "report.md", "votes.csv", "votes.json"


def write_report(study: Study, draws: int, out: Store | str) -> dict[str, Any]:
    """Write `votes.csv`, `votes.json`, `report.html`, `report.md` and last `report.json`; returns its values.

    Args:
        study: the study.
        draws: number of resamples behind each interval.
        out: where to write.

    Raises:
        BadSetup: there are no answers yet.
    """
    votes = Votes(study.votes, study.study_id)
    ballots, raters = read_ballots(study, list(votes.raters()), votes.all())
    if not ballots:
        raise BadSetup(f"{study.root} holds no votes yet; let raters answer, or import their files")
    values = make_report(study, ballots, raters, draws)
    store = out if isinstance(out, Store) else Store(out)
    frame = to_frame(ballots)
    store.write(CSV, frame.to_csv(index=False).encode())
    store.write(JSON, (frame.to_json(orient="records", indent=1) + "\n").encode())
    store.write(PAGE, render_page(values).encode())
    store.write(MARKDOWN, render_markdown(values).encode())
    store.write(REPORT, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())
    return values


def make_report(study: Study, ballots: Sequence[Ballot], raters: Sequence[Rater], draws: int) -> dict[str, Any]:
    """Content of `report.json`."""
    config = study.config
    began = [rater for rater in raters if rater.num_answers]
    return {
        "study_id": study.study_id,
        "list_sha256": study.list_sha256,
        "seed": config.seed,
        "bootstrap_draws": draws,
        "methods": list(study.methods),
        "num_images": len(study.scenes),
        "num_scenes": len(set(study.scenes.values())),
        "num_raters": len(began),
        "num_raters_counted": sum(rater.counted for rater in began),
        "num_raters_planned": config.num_raters,
        "num_votes": len(ballots),
        "num_votes_counted": sum(ballot.counted for ballot in ballots),
        "rules": _rules(study),
        "aspects": {aspect: _aspect(study, aspect, ballots, draws) for aspect in config.aspects},
        "repeats": _share(sum(r.num_same for r in began if r.counted), sum(r.num_repeats for r in began if r.counted)),
        "raters": [asdict(rater) for rater in began],
    }


def _rules(study: Study) -> dict[str, str]:
    config = study.config
    missed = f"{100 * config.max_missed_share:g} %"
    return {
        "tie": "A tie is half a win for each side.",
        "not_sure": "“Not sure” is counted, but is not part of any rate.",
        "attention": f"Raters who miss more than {missed} of the attention questions that they answered are excluded "
        "with all their answers. Attention questions are not part of any result.",
        "repeats": "If a question is asked twice, the first answer counts; the second shows how consistent a rater is.",
        "missing": "A missing output is never shown. It loses against every existing output, for each rater as often "
        "as that rater answered other comparisons. Rates without these losses are shown next to them.",
        "several": "Where three are shown side by side, the one picked beats both others; the others are not compared "
        "with each other.",
        "intervals": "95 % of the values found when raters and clusters are both resampled. Clusters are photographs "
        "for backgrounds and the targets' origins for foregrounds: cases that share one are not "
        "independent evidence.",
        "bradley_terry": f"Log strengths with mean 0, with {PRIOR_WINS:g} wins added to each side of every pair.",
    }


def _aspect(study: Study, aspect: Aspect, ballots: Sequence[Ballot], draws: int) -> dict[str, Any]:
    counted = [ballot for ballot in ballots if ballot.counted and ballot.aspect == aspect]
    table = contests(study, aspect, ballots)
    units: dict[Any, list[str]] = defaultdict(list)
    for ballot in counted:
        if ballot.picked != NOT_SURE:
            units[ballot.asked].append(ballot.picked)
    alpha = krippendorff_alpha(units.values())
    return {
        "question": study.config.question(aspect),
        "num_votes": len(counted),
        "num_clusters": len(set(study.clusters[aspect].values())),
        "pairs": _pairs(study, aspect, counted, table, draws),
        "bradley_terry": _strengths(table, draws, study.config.seed),
        "agreement": {
            "krippendorff_alpha": alpha,
            "same_share": same_share(units.values()),
            "num_units": sum(len(answers) > 1 for answers in units.values()),
        },
        "picked_sides": [sum(b.choice == str(i + 1) for b in counted) for i in range(study.config.num_panes)],
    }


def _pairs(
    study: Study, aspect: Aspect, counted: Sequence[Ballot], table: Contests, draws: int
) -> dict[str, dict[str, Any]]:
    seed = study.config.seed
    rates = {"win_rate": _rates(table.all, draws, seed), "win_rate_shown": _rates(table.shown, draws, seed)}
    found = {}
    for (i, first), (j, second) in combinations(enumerate(table.methods), 2):
        both = [ballot.picked for ballot in counted if first in ballot.panes and second in ballot.panes]
        missing = [set(study.missing[aspect][method]) for method in (first, second)]
        measured = {
            name: _interval(mean[i, j], None if drawn is None else drawn[:, i, j])
            for name, (mean, drawn) in rates.items()
        }
        found[f"{first}-{second}"] = {
            "wins": both.count(first),
            "losses": both.count(second),
            "ties": both.count(TIE),
            "not_sure": both.count(NOT_SURE),
            "missing": {first: len(missing[0] - missing[1]), second: len(missing[1] - missing[0])},
            "missing_both": len(missing[0] & missing[1]),
            **measured,
        }
    return found


def _rates(wins: np.ndarray, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    drawn = resampled(wins, draws, seed)
    return win_rates(wins.sum((0, 1))), None if drawn is None else win_rates(drawn)


def _strengths(table: Contests, draws: int, seed: int) -> dict[str, dict[str, float | None] | None]:
    wins = table.all.sum((0, 1))
    if not wins.any():
        return dict.fromkeys(table.methods)
    means, drawn = strengths(wins), resampled(table.all, draws, seed)
    found = None if drawn is None else resampled_strengths(drawn, means)
    return {
        method: _interval(means[i], None if found is None else found[:, i]) for i, method in enumerate(table.methods)
    }


def _interval(mean: float, drawn: np.ndarray | None) -> dict[str, float | None] | None:
    """Mean and ends for the report; None where nothing was measured, no ends where there is no spread."""
    if np.isnan(mean):
        return None
    low, high = (None if drawn is None else spread(drawn)) or (None, None)
    return {"mean": float(mean), "low": low, "high": high}


def _share(part: int, whole: int) -> dict[str, float | int | None]:
    return {"num_asked": whole, "num_same": part, "same_share": part / whole if whole else None}
