"""A recorded decision, read back from disk: as a person reads it, and what must hold of it.

For a person it is one line of verdict, and every demand as a row; plain functions check what must hold.
"""

from collections.abc import Mapping
from typing import Any

from evaluation.gate.champions import check_kept
from evaluation.gate.history import CURRENT, Event, current_version, read_history
from evaluation.statistics import Interval
from pipelines.checks import CheckResult
from pipelines.stages.store import Store

_WORDS = {"better": "better", "not_worse": "not worse", "not_judged": "not judged"}


def verdict(event: Event) -> str:
    """What was decided, and the reasons of a refusal, or what a promotion left undecided; one line."""
    said = event.reasons if event.kind == "refused" else _undecided(event)
    return "; ".join([headline(event), *said])


def demand_rows(event: Event) -> list[dict[str, str]]:
    """One row for each demand: metric, demand, opponent, gain with interval and N, margin, met or not."""
    return [_row(line) for line in event.details.get("lines", [])]


def headline(event: Event) -> str:
    """What was decided, without reasons."""
    if event.kind == "promoted":
        return f"Promoted: {event.champion} replaces {event.before or 'none, as the first champion'}"
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
        return "undecided; met by the mean" if line["passed"] else "undecided"
    return "yes" if line["passed"] else "NO"


def decided_for_a_reason(event: Event) -> CheckResult:
    """The adapter was promoted, with every demand met, or refused for stated reasons."""
    failed = [line["metric"] for line in event.details.get("lines", []) if not line["passed"]]
    figures = {"kind": event.kind, "champion": event.champion or "none", "number": event.number}
    if event.kind == "promoted" and not failed and event.champion != event.before:
        return CheckResult(True, f"promoted to {event.champion}: {'; '.join(event.reasons)}", figures)
    if event.kind == "refused" and any(event.reasons) and event.champion == event.before:
        return CheckResult(True, f"refused: {'; '.join(event.reasons)}", figures)
    return CheckResult(False, f"decision {event.number} ({event.kind}) does not follow from what it states", figures)


def champion_is_whole(store: Store) -> CheckResult:
    """The champion's files are those that were promoted, and the pointer names it."""
    version = current_version(read_history(store))
    if version is None:
        return CheckResult(not store.exists(CURRENT), "there is no champion yet", {})
    try:
        num_files = check_kept(store, version)
    except ValueError as error:
        return CheckResult(False, f"{version} is damaged: {error}", {"champion": version})
    return CheckResult(True, f"{version}: {num_files} files are as promoted", {"champion": version})
