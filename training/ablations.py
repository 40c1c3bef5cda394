"""The paper's ablations: one change each to any recipe, so that a small profile can ask the same questions.

Applied to the paper's recipe they give the recipes of the same names (`recipes.py`), except the row that changes the
data and not the recipe. A rank is changed in proportion: 128 of 256 is half. How rows are judged, and what the paper
reports for them, is in `evaluation.ablations`; a test holds the names of both together.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from training.config import TrainingConfig

Changes = dict[str, Any]
FULL = "paper"
"""The row without a change."""
_KONTEXT = {"flux-fill": "flux-kontext"}
"""The variant of a base that was trained to edit instead of to fill, by base."""


class DoesNotApply(ValueError):
    """A row asks for a change that this recipe or its data cannot have; the message says why."""


@dataclass(frozen=True)
class Ablation:
    """One row.

    Attributes:
        title: what it is, to follow "the paper's recipe".
        changes: the values that it changes in a run whose data hold these kinds of foregrounds, by dotted key.
        data_changes: the values that it changes in the profile's data, by dotted key; such a row has its own data.
    """

    title: str
    changes: Callable[[TrainingConfig, Collection[str]], Changes]
    data_changes: Mapping[str, Any] = field(default_factory=dict)


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
    return ROWS[row].changes(run, kinds)


def _nothing(run: TrainingConfig, kinds: Collection[str]) -> Changes:
    return {}


def _rank(rank: int) -> Callable[[TrainingConfig, Collection[str]], Changes]:
    def changes(run: TrainingConfig, kinds: Collection[str]) -> Changes:
        ours, factor = run.adapter.rank, rank / TrainingConfig().adapter.rank
        scaled = round(ours * factor)
        if scaled < 1 or scaled == ours:
            raise DoesNotApply(f"{factor:g} times the recipe's rank of {ours} is the same rank")
        return {"adapter.rank": scaled}

    return changes


def _background_context(run: TrainingConfig, kinds: Collection[str]) -> Changes:
    if run.adapter.foreground_context == "background":
        raise DoesNotApply("the recipe gives both halves the background's context already")
    return {"adapter.foreground_context": "background"}


def _no_maps(run: TrainingConfig, kinds: Collection[str]) -> Changes:
    if not run.adapter.maps:
        raise DoesNotApply("the recipe takes no maps")
    return {"adapter.maps": ()}


def _without(name: str) -> Callable[[TrainingConfig, Collection[str]], Changes]:
    def changes(run: TrainingConfig, kinds: Collection[str]) -> Changes:
        if name not in run.adapter.maps:
            raise DoesNotApply(f"the recipe does not take the map of {name}")
        return {"adapter.maps": tuple(other for other in run.adapter.maps if other != name)}

    return changes


def _only_real(run: TrainingConfig, kinds: Collection[str]) -> Changes:
    if "real" not in kinds:
        raise DoesNotApply("the data hold generated foregrounds only, so nothing would be left to train on")
    if "generated" not in kinds:
        raise DoesNotApply("the data hold no generated foregrounds anyway")
    return {}  # Leaving out scenes would leave fewer layers in a scene; these are planned again.


def _seed(number: int) -> Callable[[TrainingConfig, Collection[str]], Changes]:
    def changes(run: TrainingConfig, kinds: Collection[str]) -> Changes:
        return {"seed": run.seed + number}

    return changes


def _kontext(run: TrainingConfig, kinds: Collection[str]) -> Changes:
    base = run.adapter.base
    if base not in _KONTEXT:
        raise DoesNotApply(f"the base {base} has no variant that was trained to edit, as FLUX.1-Kontext was")
    return {"adapter.base": _KONTEXT[base]}


ROWS: dict[str, Ablation] = {
    FULL: Ablation("in full", _nothing),
    "rank_128": Ablation("with half the rank", _rank(128)),
    "rank_1024": Ablation("with four times the rank", _rank(1024)),
    "no_foreground_context": Ablation("with the background's context for both halves", _background_context),
    "no_fused_context": Ablation("without maps, fusion module, and channels for it", _no_maps),
    "no_generated_foregrounds": Ablation(
        "on scenes planned without generated foregrounds", _only_real, {"scenes.generated_share": 0.0}
    ),
    "kontext_base": Ablation("on FLUX.1-Kontext instead of FLUX.1-Fill, with the same input channels", _kontext),
    "no_edges": Ablation("without the map of edges", _without("edges")),
    "no_segmentation": Ablation("without the segmentation map", _without("segmentation")),
    "no_depth": Ablation("without the map of inverse depth", _without("depth")),
    "seed_1": Ablation("with another seed", _seed(1)),
    "seed_2": Ablation("with a third seed", _seed(2)),
}
"""The paper's ten, in its order; then two that change the seed alone, from which the spread of seeds is known."""
