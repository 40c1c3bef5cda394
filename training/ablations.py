"""The paper's ablations as one change each to any recipe, so that a small profile can ask the same questions.

Applied to `paper` they give the recipes of the same names. A rank is changed in proportion: 128 of 256 is half.
"""

from collections.abc import Callable, Collection
from typing import Any

from training.config import TrainingConfig
from training.recipes import paper

Changes = dict[str, Any]
FULL = "paper"
"""The row without a change."""
_KONTEXT = {"flux-fill": "flux-kontext"}
"""The variant of a base that was trained to edit instead of to fill, by base."""


class DoesNotApply(ValueError):
    """A row asks for a change that this recipe or its data cannot have; the message says why."""


def ablation_changes(row: str, run: TrainingConfig, kinds: Collection[str]) -> Changes:
    """The values that a row changes in a run, by dotted key.

    Args:
        row: a name of `ROWS`.
        run: the full recipe.
        kinds: the kinds of foregrounds that the data hold: `real`, `generated`.

    Raises:
        DoesNotApply: the change is not possible, or would change nothing.
        ValueError: no such row.
    """
    if row not in ROWS:
        raise ValueError(f"there is no ablation {row!r}; known: {', '.join(ROWS)}")
    if row == "no_generated_foregrounds":
        return _only_real(run, kinds)
    return ROWS[row](run)


def _rank(rank: int) -> Callable[[TrainingConfig], Changes]:
    def changes(run: TrainingConfig) -> Changes:
        ours, factor = run.adapter.rank, rank / paper().adapter.rank
        scaled = round(ours * factor)
        if scaled < 1 or scaled == ours:
            raise DoesNotApply(f"{factor:g} times the recipe's rank of {ours} is no other rank")
        return {"adapter.rank": scaled}

    return changes


def _background_context(run: TrainingConfig) -> Changes:
    if run.adapter.foreground_context == "background":
        raise DoesNotApply("the recipe gives both halves the background's context already")
    return {"adapter.foreground_context": "background"}


def _no_maps(run: TrainingConfig) -> Changes:
    if not run.adapter.maps:
        raise DoesNotApply("the recipe takes no maps")
    return {"adapter.maps": ()}


def _without(name: str) -> Callable[[TrainingConfig], Changes]:
    def changes(run: TrainingConfig) -> Changes:
        if name not in run.adapter.maps:
            raise DoesNotApply(f"the recipe does not take the map of {name}")
        return {"adapter.maps": tuple(other for other in run.adapter.maps if other != name)}

    return changes


def _only_real(run: TrainingConfig, kinds: Collection[str]) -> Changes:
    if "real" not in kinds:
        raise DoesNotApply("the data hold generated foregrounds only, and nothing would be left to train on")
    if "generated" not in kinds or "generated" not in run.data.foreground_kinds:
        raise DoesNotApply("the recipe does not train on generated foregrounds anyway")
    return {"data.foreground_kinds": ("real",)}


def _kontext(run: TrainingConfig) -> Changes:
    base = run.adapter.base
    if base not in _KONTEXT:
        raise DoesNotApply(f"of the base {base} there is no variant that was trained to edit, as FLUX.1-Kontext was")
    return {"adapter.base": _KONTEXT[base]}


ROWS: dict[str, Callable[[TrainingConfig], Changes]] = {
    FULL: lambda run: {},
    "rank_128": _rank(128),
    "rank_1024": _rank(1024),
    "no_foreground_context": _background_context,
    "no_fused_context": _no_maps,
    "no_generated_foregrounds": lambda run: _only_real(run, run.data.foreground_kinds),
    "kontext_base": _kontext,
    "no_edges": _without("edges"),
    "no_segmentation": _without("segmentation"),
    "no_depth": _without("depth"),
}
