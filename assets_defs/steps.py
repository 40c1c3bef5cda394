"""What a run in this process says while it goes on: the stage that begins, about how long the rest takes."""

import logging
import time
from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.execution.plan.objects import ErrorSource

from assets_defs.metadata import NOTHING
from pipelines.stages.progress import time_left

log = logging.getLogger(__name__)
SECONDS = {
    "adapter": 900.0,
    "evaluation": 120.0,
    "rgba_vae": 160.0,
    "segmentation_maps": 30.0,
    "held_out_scenes": 15.0,
    "report": 15.0,
}
"""Stages of the demo that take long, in seconds on two cores; they weigh what is left against what is done."""
OTHER_S = 3.0
PACE_S = 30.0
"""For this long the machine counts as fast as that one; later its measured pace counts more and more."""

LOOKED_AT = frozenset(
    ["base_model", "foreground_prompts", "mulan_annotations", "foreground_library", "background_library", "baselines"]
)
"""Assets that every run examines; they do not show whether there is anything to do for the others."""


class Steps:
    """Listens to the events of one run, whose steps are executed one after another.

    Attributes:
        is_interrupted: the run was stopped.
    """

    def __init__(self, steps: Sequence[str], seconds: Mapping[str, float]) -> None:
        """`seconds`: of steps that take long, for the estimate; empty = there is nothing to estimate by."""
        self.is_interrupted = False
        self._left = dict.fromkeys(steps, OTHER_S) | {name: seconds[name] for name in steps if name in seconds}
        self._total, self._estimates = len(steps), bool(seconds)
        self._done_s = self._worked_s = 0.0  # Of steps that made something: planned, and measured.
        self._began_s = time.monotonic()
        self._events: dict[str, set[bool]] = {}

    @property
    def up_to_date(self) -> list[str]:
        """Assets of which everything was there and unchanged, in the order of the run."""
        return [name for name, nothing in self._events.items() if nothing == {True}]

    def hear(self, entry: dg.EventLogEntry) -> None:
        """Handle one event as it happens."""
        event = entry.dagster_event
        if event is None:
            return
        if event.is_step_start and event.step_key:
            self._began_s = time.monotonic()
            log.info("%s", self._line(event.step_key))
        elif event.is_step_success and event.step_key:
            planned_s = self._left.pop(event.step_key)
            if event.step_key not in self.up_to_date:
                self._done_s += planned_s
                self._worked_s += time.monotonic() - self._began_s
        elif event.is_step_failure:
            self.is_interrupted |= event.step_failure_data.error_source is ErrorSource.INTERRUPT
        elif event.is_step_materialization and event.asset_key:
            nothing = NOTHING in event.step_materialization_data.materialization.metadata
            self._events.setdefault(event.asset_key.to_user_string(), set()).add(nothing)

    def _line(self, step: str) -> str:
        line = f"stage {self._total - len(self._left) + 1} of {self._total}: {step}"
        found = [nothing for name, nothing in self._events.items() if name not in LOOKED_AT]
        # Whether a run that has found nothing to do so far is a repeated one, or goes on with an interrupted one, shows
        # only when it makes something.
        if not self._estimates or all(nothing == {True} for nothing in found):
            return line
        pace = (self._worked_s + PACE_S) / (self._done_s + PACE_S)
        return f"{line}, {time_left(pace * sum(self._left.values()))} in all"
