"""A complete dry run: its parts one after another, as text for a person and as JSON for a script."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from decoupage.requirements import Requirement, as_lines, wrapped
from training.dry_run.first_step import FirstStep, first_step
from training.dry_run.missing import ON_A_CPU, base_of, requirements
from training.dry_run.rehearsal import Rehearsal, rehearse
from training.fitting import CardRow, by_card, estimate
from training.memory import MemoryEstimate
from training.preflight import disk_gb_of, num_parameters
from training.run import RunPlan


@dataclass(frozen=True)
class DryRun:
    """All that a dry run found.

    Attributes:
        memory: that of the recipe as it is, on one GPU; None where the run needs no estimate.
        cards: what runs on which card; empty for runs of the small base, which a CPU carries.
        checkpoints_gb, export_gb: disk space, at most.
        step: None for the small base, whose rehearsal is of its real size.
    """

    recipe: str
    requirements: list[Requirement]
    num_trained: int
    memory: MemoryEstimate | None
    cards: list[CardRow]
    checkpoints_gb: float
    export_gb: float
    step: FirstStep | None
    rehearsal: Rehearsal

    @property
    def missing(self) -> list[Requirement]:
        """What is missing or must be changed before the run can start."""
        return [requirement for requirement in self.requirements if not requirement.present]

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing and the rehearsal ended well."""
        return not self.missing and not self.rehearsal.fault

    def to_json(self) -> str:
        """One JSON object."""
        values: dict[str, Any] = {
            "recipe": self.recipe,
            "missing": [requirement.name for requirement in self.missing],
            "requirements": [asdict(requirement) for requirement in self.requirements],
            "num_trained": self.num_trained,
            "memory_gb": None if self.memory is None else self.memory.parts | {"total": self.memory.total_gb},
            "cards": [_card_values(row) for row in self.cards],
            "checkpoints_gb": self.checkpoints_gb,
            "export_gb": self.export_gb,
            "first_step": None if self.step is None else asdict(self.step),
            "rehearsal": asdict(self.rehearsal),
        }
        return json.dumps(values)

    def to_text(self) -> str:
        """Text for a person."""
        missing = ", ".join(requirement.name for requirement in self.missing)
        ending = self.rehearsal.fault or (f"missing: {missing}" if missing else "nothing is missing")
        parts = [self._required(), self._memory(), self._by_card(), self._disk(), self._first_step(), self._rehearsed()]
        return "\n".join([f"dry run of {self.recipe}", *("\n".join(["", *part]) for part in parts if part), "", ending])

    def _required(self) -> list[str]:
        missing_first = sorted(self.requirements, key=lambda one: one.present)
        return ["requirements", *(line for one in missing_first for line in as_lines(one, "  "))]

    def _memory(self) -> list[str]:
        if self.memory is None:
            return []
        parts = self.memory.parts | {"total": self.memory.total_gb}
        return [
            "memory of the recipe as it is, on one GPU (GB, an estimate)",
            *_aligned((name, f"{gb:6.1f}") for name, gb in parts.items()),
        ]

    def _by_card(self) -> list[str]:
        title = "the fastest settings that fit, by card (memory and hours are estimates)"
        return [title, *(line for row in self.cards for line in _card_lines(row))] if self.cards else []

    def _disk(self) -> list[str]:
        rows = {"checkpoints, at most": self.checkpoints_gb, "export, at most": self.export_gb}
        return ["disk (GB)", *_aligned((name, f"{gb:6.1f}") for name, gb in rows.items())]

    def _first_step(self) -> list[str]:
        if self.step is None:
            return []
        rows = {"trained parameters": f"{self.num_trained:,}", **self.step.shapes}
        rows["operations"] = f"{self.step.tflop:.1f} TFLOP, forward and backward"
        return ["first micro-batch at its real size, without weights", *_aligned(rows.items())]

    def _rehearsed(self) -> list[str]:
        rows = dict(self.rehearsal.done) | ({"FAILED": self.rehearsal.fault} if self.rehearsal.fault else {})
        title = f"small run, end to end, in {self.rehearsal.seconds:.0f} s ({self.rehearsal.stand_in})"
        return [*wrapped(title), *_aligned(rows.items())]


def dry_run(plan: RunPlan) -> DryRun:
    """Examine a run without its weights, and make a small trial run.

    Raises:
        ValueError: unknown recipe or key, impossible value.
    """
    config = plan.config()
    on_gpu = plan.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    checkpoints_gb, export_gb = disk_gb_of(config, plan.base)
    return DryRun(
        recipe=plan.recipe,
        requirements=requirements(plan, config, device),
        num_trained=num_parameters(config, plan.base)[0],
        memory=estimate(config, plan.base),
        cards=by_card(config, plan.base) if base_of(config) not in ON_A_CPU else [],
        checkpoints_gb=checkpoints_gb,
        export_gb=export_gb,
        step=first_step(config, plan.base),
        rehearsal=rehearse(plan, config),
    )


def _card_lines(row: CardRow) -> list[str]:
    """Card, memory of each, hours and whether the result is the recipe's own; below it the settings."""
    head, run = f"{row.num_cards} x {row.card}", row.run
    if run is not None and row.hours is not None:
        result = "another result" if run.alters else "the same result"
        head = f"{head:26} {run.total_gb:4.0f} GB each {row.hours:7.1f} h  {result}"
    return [f"  {head}".rstrip(), *wrapped(row.settings, "      ", "      ")]


def _card_values(row: CardRow) -> dict[str, Any]:
    values: dict[str, Any] = {"card": row.card.name, "memory_gb": row.card.memory_gb, "num_cards": row.num_cards}
    if row.run is None:
        return values | {"fits": False}
    found = {
        "changes": dict(row.run.changes),
        "needs_gb": row.run.total_gb,
        "hours": row.hours,
        "alters": row.run.alters,
    }
    return values | {"fits": True} | found


def _aligned(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Names and values in two columns."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    indent = " " * min(width + 4, 20)
    return [line for name, value in rows for line in wrapped(f"{name:{width}}  {value}", "  ", indent)]
