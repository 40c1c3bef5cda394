"""A decision as a person reads it: one line of verdict, and every demand as a row."""

from collections.abc import Mapping
from typing import Any

from evaluation.gate.history import Event
from evaluation.statistics import Interval

_WORDS = {"better": "better", "not_worse": "not worse", "not_judged": "not judged"}


def verdict(event: Event) -> str:
    """What was decided, and the reasons of a refusal, or what a promotion left undecided; one line."""
    said = event.reasons if event.kind == "refused" else _undecided(event)
    return "; ".join([_headline(event), *said])


def demand_rows(event: Event) -> list[dict[str, str]]:
    """One row a demand: metric, what is asked, against whom, gain with interval and N, margin, met or not."""
    return [_row(line) for line in event.details.get("lines", [])]


def _headline(event: Event) -> str:
    if event.kind == "promoted":
        return f"Promoted: {event.champion} replaces {event.before or 'nobody, as the first champion'}"
    stays = f"{event.champion} stays" if event.champion else "there is still no champion"
    return f"Refused: {stays}"


def _undecided(event: Event) -> list[str]:
    return [line["sentence"] for line in event.details.get("lines", []) if not line["decided"]]


def _row(line: Mapping[str, Any]) -> dict[str, str]:
    gain = None if line["gain"] is None else Interval.from_dict(line["gain"])
    interval = "-" if gain is None or gain.low is None else f"[{gain.low:+.4g}, {gain.high:+.4g}]"
    return {
        "metric": line["metric"],
        "must be": _WORDS[line["demand"]],
        "than": line["against"] or "-",
        "gain": "-" if gain is None else f"{gain.mean:+.4g}",
        "95 %": interval,
        "of": "-" if gain is None else gain.counted,
        "margin": f"{line['margin']:g}",
        "met": _met(line),
    }


def _met(line: Mapping[str, Any]) -> str:
    if line["demand"] == "not_judged":
        return "-"
    if not line["decided"]:
        return "undecided, the mean does" if line["passed"] else "undecided"
    return "yes" if line["passed"] else "NO"
