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
from pipelines.stages.object_leftovers import OLD_RUN, RemovableObject
from pipelines.stages.store import Store
from training.alone import LOCK
from training.exports import IDENTITY, exported_identity, stated_identity
from training.remote import STATE

__all__ = ["DAY_S", "LOCK", "prunable", "prunable_objects", "trained_folders"]

DAY_S = 86_400.0
_TRAINING, _RUNS = "training", "runs"


def trained_folders(store: Store) -> list[str]:
    """Folders of a root in which runs of training lie: `training/adapter`, `training/ablations/<row>`, ..."""
    found = []
    for name in sorted(store.names(_TRAINING)):
        folder = f"{_TRAINING}/{name}"
        within = store.names(folder)
        found += [folder] if _RUNS in within else [f"{folder}/{one}" for one in sorted(within)]
    return [folder for folder in found if _RUNS in store.names(folder)]


def prunable(folder: Path, days: float) -> list[Removable]:
    """What may be removed from one asset's folder (`runs/`, `export/`, `export.json`).

    Nothing where an export does not say which run it came from. Links are left alone, with what they lead to.

    Args:
        days: a run that is not in use is old when nothing in it changed for so long.
    """
    runs = folder / _RUNS
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
            found.append(Removable(run, OLD_RUN, _old(age_days), freed_bytes(run)))
        else:
            found += [*_checkpoints(run), *_damaged(run)]
    return found


def prunable_objects(store: Store, folder: str, days: float) -> list[RemovableObject]:
    """As `prunable`, of an asset's folder in an object store: old runs alone, for a run removes its spare checkpoints.

    Nothing where the file system does not say how old its objects are.

    Raises:
        BadSetup: the store cannot be read.
    """
    with store.objects.told(folder, "read"):
        there = store.objects.entries(folder)
    identity = stated_identity(store.read(f"{folder}/{IDENTITY}"), folder) if IDENTITY in there else None
    if identity is None and any(path.startswith("export/") for path in there):
        return []
    in_use = fingerprint(dict(identity)) if identity else ""
    runs: dict[str, list[str]] = {}
    for path in sorted(there):
        parts = path.split("/")
        if len(parts) > 2 and parts[0] == _RUNS and parts[1] != in_use:
            runs.setdefault(parts[1], []).append(path)
    found = []
    for name, paths in runs.items():
        ages_s = [there[path].age_s for path in paths]
        age_days = min((age_s for age_s in ages_s if age_s is not None), default=0.0) / DAY_S
        if None not in ages_s and age_days > days:
            key, size = f"{folder}/runs/{name}", sum(there[path].num_bytes for path in paths)
            states = tuple(f"{folder}/{path}" for path in paths if path.endswith(f"/{STATE}"))
            found.append(RemovableObject(store.url(key), OLD_RUN, _old(age_days), size, key, first=states))
    return found


def _old(age_days: float) -> str:
    return f"not in use, nothing changed for {age_days:.0f} days"


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
        best = parse_json((folder / f"{steps[-1]:07d}" / STATE).read_bytes(), STATE)["best_step"]
    except (BadSetup, OSError, KeyError, TypeError):
        return []
    return [
        Removable(folder / f"{step:07d}", "checkpoint", "neither the best nor the last", freed_bytes(path))
        for step in steps[:-1]
        if step != best and (path := folder / f"{step:07d}").is_dir()
    ]
