"""What a run of a commercial profile may be trained on: the base's weights, the shards, and earlier runs."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipelines.commercial import Use, refuse
from pipelines.licences.combined import count_licences
from pipelines.licences.terms import licence_of, why_not_commercial
from pipelines.shards.folder import find_shards
from training.run import RunPlan

MARK = "commercial.json"
"""File in the folder of a run that was trained on nothing that forbids commercial use."""
_DEPTH = 3
"""Number of folders, from a checkpoint or an export upwards, in which a run's mark is looked for."""


def base_obstacles(base: str, source: str | None) -> list[str]:
    """Why a base, or the weights given in the place of the published ones, may not be adapted; empty when it may.

    A folder does not say under which licence its weights are, so it is refused.
    """
    uses = [Use("the recipe's base", base, licence_of(base), "choose a recipe of a base that permits it")]
    if source:
        fix = "leave it out, or name a hub id that the ledger knows (pipelines/licences/ledger.csv)"
        uses.append(Use("training.base (--base)", source, licence_of(source), fix))
    return [use.obstacle for use in uses if use.obstacle]


def shard_obstacles(paths: Sequence[str]) -> list[str]:
    """Why shards may not be trained on: a sentence for each licence in them that forbids it.

    Raises:
        BadSetup: a path holds no shards.
    """
    layers: Counter[str] = Counter()
    found = []
    for path in paths:
        folder = find_shards(path)
        for shard in folder.shards:
            name = f"{shard}.parquet"
            if folder.store.exists(name):
                layers.update(count_licences(folder.store.read(name)))
            else:
                found.append(f"{folder.store.url(name)} is missing, so nobody knows the shard's licences")
    reasons = {licence: why_not_commercial(licence) for licence in sorted(layers)}
    return found + [f"{layers[name]} layers of the shards ({why})" for name, why in reasons.items() if why]


def mark_run(plan: RunPlan, commercial: bool) -> None:
    """Permit a commercial run and mark its folder, or refuse it; an ordinary run loses such a mark.

    Raises:
        BadSetup: a commercial run would be trained on something that forbids commercial use; all of it is named.
    """
    if not commercial:
        (plan.out / MARK).unlink(missing_ok=True)
        return
    refuse(run_obstacles(plan))
    plan.out.mkdir(parents=True, exist_ok=True)
    (plan.out / MARK).write_text(json.dumps({"recipe": plan.recipe, "data": list(plan.data)}), encoding="utf-8")


def run_obstacles(plan: RunPlan) -> list[str]:
    """Why a commercial run may not start; empty when it may."""
    config = plan.config()
    base = getattr(getattr(config, "adapter", config), "base", None)
    # Only the tiny base starts from random weights; its data are photographs, which state no licence.
    found = [*base_obstacles(base, plan.base), *shard_obstacles(plan.data)] if base else []
    unlabelled = [] if base else [*plan.data]
    earlier = [Path(plan.rgba_vae)] if plan.rgba_vae else []
    earlier += [plan.warm_start] if plan.warm_start else []
    earlier += [plan.out / "checkpoints"] if plan.resume and (plan.out / "checkpoints").is_dir() else []
    unlabelled += [str(path) for path in earlier if not _is_marked(path)]
    fix = "leave it out, or make it by a commercial profile"
    return found + [f"{name} comes without a licence that permits commercial use: {fix}" for name in unlabelled]


def _is_marked(path: Path) -> bool:
    folders = (path, *path.resolve().parents[: _DEPTH - 1])
    return any((folder / MARK).is_file() for folder in folders)
