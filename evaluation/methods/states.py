"""The state of the baselines, for people and for a check. `baselines.py` runs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.checks import CheckResult

Word = Literal["recorded", "not enabled", "not here", "did not run"]


@dataclass(frozen=True)
class State:
    """The state of one baseline.

    Attributes:
        word: `recorded`; `not enabled` in the profile; `not here`: weights or program missing; `did not run`.
        detail: how to get it, or what went wrong.
        num_images: of the list, where it is recorded; num_failures: those that it has no answer for.
        digest: of the list and of the method, where it is recorded.
    """

    name: str
    title: str
    word: Word
    detail: str
    num_images: int = 0
    num_failures: int = 0
    digest: str = ""


def enabled_baselines_recorded(states: Sequence[State]) -> CheckResult:
    """Every baseline that the profile enables has been run on the list, and answered every image."""
    faults = {
        state.name: state.detail for state in states if state.word in ("not here", "did not run") or state.num_failures
    }
    recorded = [state.name for state in states if state.word == "recorded"]
    summary = f"recorded: {', '.join(recorded) or 'none'}"
    said = "; ".join(f"{name}: {detail}" for name, detail in faults.items())
    return CheckResult(not faults, f"{summary}; {said}" if said else summary, dict(faults))
