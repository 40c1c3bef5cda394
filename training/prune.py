"""Which training runs and checkpoints of the assets may be removed.

Never: the export in use and the run it came from, the best and the last checkpoint of a run that stays, anything in a
folder in which a process trains, and champions, whose weights are their own copies.
"""

import time
from pathlib import Path

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from decoupage.text_files import parse_json
from pipelines.stages.leftovers import Removable, freed_bytes, newest_s
from training.alone import LOCK
from training.run import exported_identity

__all__ = ["DAY_S", "LOCK", "prunable"]

DAY_S = 86_400.0


def prunable(folder: Path, days: float) -> list[Removable]:
    """What may be removed from one asset's folder (`runs/`, `export/`, `export.json`).

    Nothing where an export does not say which run it came from. Links are left alone, with what they lead to.

    Args:
        days: a run that is not in use is old when nothing in it changed for so long.
    """
    runs = folder / "runs"
    identity = exported_identity(folder)
    if not runs.is_dir() or (identity is None and (folder / "export").is_dir()):
        return []
    in_use = fingerprint(dict(identity)) if identity else ""
    found = []
    for run in sorted(runs.glob("[!.]*")):
        if run.is_symlink() or not run.is_dir():
            continue
        age_days = (time.time() - newest_s(run)) / DAY_S
        if run.name != in_use and age_days > days:
            why = f"not in use, nothing changed for {age_days:.0f} days"
            found.append(Removable(run, "old run", why, freed_bytes(run)))
        else:
            found += [*_checkpoints(run), *_damaged(run)]
    return found


def _damaged(run: Path) -> list[Removable]:
    why = "a run found it damaged and continued from the one before"
    aside = sorted((run / "checkpoints").glob("*.damaged"))
    return [Removable(path, "damaged checkpoint", why, freed_bytes(path)) for path in aside]


def _checkpoints(run: Path) -> list[Removable]:
    """Checkpoints other than the best and the last; none where the last one does not say which is best."""
    folder = run / "checkpoints"
    steps = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []
    if len(steps) < 2:
        return []
    try:
        best = parse_json((folder / f"{steps[-1]:07d}" / "state.json").read_bytes(), "state.json")["best_step"]
    except (BadSetup, OSError, KeyError, TypeError):
        return []
    return [
        Removable(folder / f"{step:07d}", "checkpoint", "neither the best nor the last", freed_bytes(path))
        for step in steps[:-1]
        if step != best and (path := folder / f"{step:07d}").is_dir()
    ]
