"""The outcome of a run as plain JSON values, for callers that do not want to read its folder. Imports no torch."""

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decoupage.fingerprint import fingerprint
from pipelines.stages.working import WorkingFolder
from training.exports import exported_identity, run_name
from training.journal import METRICS, read_metrics
from training.run import RunPlan

if TYPE_CHECKING:
    from training.loop import Outcome

WHOLE_BYTES = 64_000_000
"""Files up to this size are hashed whole; of larger ones the size and the beginning are."""
_BEGINNING_BYTES = 1_000_000
Facts = dict[str, Any]


def facts_of(plan: RunPlan, outcome: "Outcome | None") -> Facts:
    """The facts of what `train_current(plan)` returned.

    Returns:
        `status` (`done`, `interrupted`, or `unchanged`: there was nothing to do), `recipe`, `identity`, `step`, `loss`
        (of the last step), `validation_loss` (the last one) and `best_validation_loss`, absent where not measured;
        `folder` of the run and the paths in it: `checkpoint`, `tensorboard`; and, unless the run was interrupted,
        `export` and its `version`, a hash of identity and contents. Paths are those in the
        object store, if there is one.
    """
    out = plan.home.path if plan.home else plan.out
    identity = exported_identity(out) or {} if outcome is None else dict(outcome.progress.identity)
    folder = out / "runs" / run_name(identity)
    if plan.home is not None and outcome is None:
        WorkingFolder(plan.home.store, f"{plan.home.folder}/runs/{run_name(identity)}").fetch(METRICS)
    status = "unchanged" if outcome is None else outcome.status
    facts: Facts = {
        "status": status,
        "recipe": plan.recipe,
        "identity": identity,
        "folder": plan.shown(folder),
        "tensorboard": plan.shown(folder / "tensorboard"),
        **_figures(folder),
    }
    if outcome is not None:
        facts |= {"step": outcome.progress.step, "checkpoint": plan.shown(outcome.checkpoint)}
    if status != "interrupted":
        export = out / "export"
        version = fingerprint({"identity": identity, "contents": contents_digest(export)})
        facts |= {"export": plan.shown(export), "version": version}
    return facts


def contents_digest(folder: Path) -> str:
    """Hash of a folder, 16 hex digits: paths, sizes and contents of its files (see `WHOLE_BYTES`)."""
    sha = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        sha.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            if size > WHOLE_BYTES:
                sha.update(file.read(_BEGINNING_BYTES))
            else:
                sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()[:16]


def _figures(folder: Path) -> Facts:
    """Step, losses and validation losses by the run's journal; what was not measured is left out."""
    metrics = read_metrics(folder)
    if not metrics:
        return {}
    judged = [line["validation_loss"] for line in metrics if _is_number(line.get("validation_loss"))]
    figures: Facts = {"step": metrics[-1]["step"]}
    loss = next((value for name, value in metrics[-1].items() if name.endswith(".loss")), None)
    if _is_number(loss):
        figures["loss"] = loss
    if judged:
        figures |= {"validation_loss": judged[-1], "best_validation_loss": min(judged)}
    return figures


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
