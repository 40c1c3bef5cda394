"""Which settings make a run fit into a card's memory, the fastest first; and what runs on which card.

Memory is estimated in `memory.py` and `rgba_vae/memory.py`, time in `costs.py`. Settings come in three grades: those
that change time and memory alone, those that change number formats, and a smaller adapter. A grade is tried only if
nothing in the grade before it fits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from training.config import RunConfig, TrainingConfig, with_changes
from training.costs import CARDS, Card, hours, sample_cost
from training.memory import MemoryEstimate
from training.memory import estimate as estimate_adapter
from training.rgba_vae.config import RgbaVaeConfig

EVERY = (0, 8, 6, 4, 3, 2, 1)
"""Values of `compute.checkpoint_every_blocks` that are tried; of 57 blocks 0 to 57 are recomputed."""
NUM_CARDS = (1, 8)
CARD_SHARE = 0.95
"""Share of a card's memory that a run may take by the estimate; the rest is for fragmentation, ours."""


@dataclass(frozen=True)
class Suggestion:
    """A run that was changed to fit.

    Attributes:
        changes: what differs from the requested run, by dotted key.
        config: the run with the changes; memory: its memory; cost: see `costs.sample_cost`.
        alters: the result differs by more than rounding: number formats, or the adapter's size.
    """

    changes: Mapping[str, Any]
    config: RunConfig
    memory: MemoryEstimate
    cost: float
    alters: bool

    @property
    def total_gb(self) -> float:
        """Memory in GB that the run needs."""
        return self.memory.total_gb

    def __str__(self) -> str:
        changes = " and ".join(f"{key} = {_plain(value)}" for key, value in self.changes.items())
        note = " (the result will differ)" if self.alters else ""
        return f"with {changes} it needs about {self.total_gb:.0f} GB{note}"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def estimate(
    config: RunConfig, source: str | None = None, on_gpu: bool = True, num_processes: int = 1
) -> MemoryEstimate | None:
    """Peak memory of each process of any run; None for the small base's, which fits everywhere."""
    if isinstance(config, TrainingConfig):
        return estimate_adapter(config, source, on_gpu, num_processes)
    if isinstance(config, RgbaVaeConfig):
        from training.rgba_vae.memory import estimate as estimate_rgba_vae

        return estimate_rgba_vae(config, source, on_gpu, num_processes)
    return None


def what_fits(
    config: RunConfig, memory_gb: float, num_processes: int = 1, source: str | None = None, on_gpu: bool = True
) -> list[Suggestion]:
    """The fastest runs that fit, by the mildest grade of changes that has any; empty = none fits.

    The first is the fastest. Where it shares weights out among processes, the fastest that does not follows.
    """
    for grade in range(len(_GRADES)):
        fitting = [each for each in _ranked(config, grade, num_processes, source, on_gpu) if each.total_gb <= memory_gb]
        if fitting:
            whole = [each for each in fitting if not each.config.compute.sharded]
            return fitting[:1] if fitting[0] in whole else fitting[:1] + whole[:1]
    return []


@cache
def _ranked(
    config: RunConfig, grade: int, num_processes: int, source: str | None, on_gpu: bool
) -> tuple[Suggestion, ...]:
    """All runs that changes up to a grade make of a run, the fastest first; among equals the least changed."""
    found = []
    for changes in _combinations(config, grade, num_processes, on_gpu):
        changed = with_changes(config, changes)
        memory = estimate(changed, source, on_gpu, num_processes)
        if memory is not None:
            cost = sample_cost(changed, num_processes, source)
            found.append(Suggestion(changes, changed, memory, cost, alters=not _ALTERING.isdisjoint(changes)))
    return tuple(sorted(found, key=lambda each: (round(each.cost, -6), len(each.changes), each.total_gb)))


_ALTERING = frozenset({"optimiser.name", "compute.base_quantisation", "adapter.rank"})


def _combinations(config: RunConfig, grade: int, num_processes: int, on_gpu: bool) -> Iterator[dict[str, Any]]:
    families = [family for options in _GRADES[: grade + 1] for family in options(config, num_processes, on_gpu)]
    for chosen in product(*families):
        changes = {key: value for change in chosen for key, value in change.items()}
        shared_out = changes.get("compute.sharded", config.compute.sharded)
        # Neither quantised weights nor 8-bit moments can be shared out.
        if not (shared_out and not _ALTERING.isdisjoint(changes.keys() - {"adapter.rank"})):
            yield changes


def _speed(config: RunConfig, num_processes: int, on_gpu: bool) -> Iterator[list[dict[str, Any]]]:
    """Families of settings that change time and memory alone; each begins with no change."""
    now, is_adapter = config.compute, isinstance(config, TrainingConfig)
    every = EVERY if is_adapter else (0, 1)  # A VAE recomputes all of its blocks or none.
    yield [{}, *({"compute.checkpoint_every_blocks": n} for n in every if n != now.checkpoint_every_blocks)]
    if config.batch.micro_batch > 1:
        yield [{}, {"batch.micro_batch": 1, "batch.accumulation": config.batch.size}]
    if is_adapter and on_gpu and not now.compile:
        yield [{}, {"compute.compile": True}]
    if is_adapter and on_gpu and num_processes > 1 and not now.sharded and not config.needs_gpu:
        yield [{}, {"compute.sharded": True}]


def _formats(config: RunConfig, num_processes: int, on_gpu: bool) -> Iterator[list[dict[str, Any]]]:
    """Families of number formats that take fewer bits."""
    if on_gpu and config.optimiser.name == "adamw":
        yield [{}, {"optimiser.name": "adamw8bit"}]
    if on_gpu and isinstance(config, TrainingConfig) and config.compute.base_quantisation == "none":
        yield [{}, *({"compute.base_quantisation": form} for form in ("int8", "nf4"))]


def _smaller(config: RunConfig, num_processes: int, on_gpu: bool) -> Iterator[list[dict[str, Any]]]:
    """A smaller adapter."""
    if isinstance(config, TrainingConfig) and config.adapter.rank > 1:
        yield [{"adapter.rank": config.adapter.rank // 2}]


_GRADES = (_speed, _formats, _smaller)


@dataclass(frozen=True)
class CardRow:
    """What runs on a number of cards: the fastest settings that fit (None = none does), and its hours."""

    card: Card
    num_cards: int
    run: Suggestion | None

    @property
    def settings(self) -> str:
        """The settings in words."""
        return "does not fit" if self.run is None else settings_in_words(self.run.config)

    @property
    def hours(self) -> float | None:
        """Hours of the whole run, as an estimate."""
        return None if self.run is None else hours(self.run.config, self.run.cost, self.card, self.num_cards)


def by_card(config: RunConfig, source: str | None = None) -> list[CardRow]:
    """What runs on each of `CARDS`, alone and eight together."""
    rows = []
    for card, num_cards in product(CARDS, NUM_CARDS):
        if config.batch.accumulation % num_cards == 0:
            found = what_fits(config, card.memory_gb * CARD_SHARE, num_cards, source)
            rows.append(CardRow(card, num_cards, found[0] if found else None))
    return rows


def settings_in_words(config: RunConfig) -> str:
    """What a run does to save memory and time."""
    compute, every = config.compute, config.compute.checkpoint_every_blocks
    ordinal = {1: "every block", 2: "every 2nd block", 3: "every 3rd block"}.get(every, f"every {every}th block")
    words = ["compiled"] if compute.compile else []
    words += ["sharded"] if compute.sharded else []
    words += [f"{ordinal} recomputed"] if every else []
    words += [f"{compute.base_quantisation} base"] if compute.base_quantisation != "none" else []
    words += ["8-bit moments"] if config.optimiser.name == "adamw8bit" else []
    words += [f"rank {config.adapter.rank}"] if isinstance(config, TrainingConfig) else []
    return ", ".join(words) or "nothing recomputed"
