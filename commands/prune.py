"""`decoupage prune`: lists what a data root and Dagster's records no longer need, and removes it with `--apply`.

Each package says which of its own files may be removed; here they are collected and reported.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.stages.leases import take
from pipelines.stages.leftovers import Removable, leftovers, remove, shards_beyond
from pipelines.stages.locks import alone
from pipelines.stages.object_leftovers import RemovableObject, object_leftovers, remove_object
from pipelines.stages.store import Store
from profiles.profile import CHECKOUT, Profile, load_profile
from training.prune import LOCK, prunable, prunable_objects, trained_folders

DAYS = 30.0


@dataclass(frozen=True)
class Pruning:
    """What may be removed, or was.

    Attributes:
        removables: in the order in which they go.
        busy: folders, or addresses of them, in which a process trains; nothing in them is touched.
        looked_at_dagster: False where there is no instance, in DAGSTER_HOME or where `make ui` has it.
        applied: whether it is gone.
    """

    removables: tuple[Removable | RemovableObject, ...]
    busy: tuple[Path | str, ...]
    looked_at_dagster: bool
    applied: bool

    @property
    def num_bytes(self) -> int:
        """Number of bytes that are freed, or were."""
        return sum(removable.num_bytes for removable in self.removables)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "applied": self.applied,
            "num_bytes": self.num_bytes,
            "removables": [removable.to_dict() for removable in self.removables],
            "busy": [str(path) for path in self.busy],
            "looked_at_dagster": self.looked_at_dagster,
        }


def prune(profile: Profile, days: float = DAYS, apply: bool = False) -> Pruning:
    """Look for what may be removed, and remove it if `apply` is set."""
    store = Store(profile.root)
    found, busy = (_in_folder if store.is_local else _in_object_store)(store, profile, days, apply)
    runs = _dagster(days, apply)
    return Pruning((*found, *(runs or ())), tuple(busy), runs is not None, apply)


def _in_object_store(
    store: Store, profile: Profile, days: float, apply: bool
) -> tuple[list[RemovableObject], list[str]]:
    found, busy = [], []
    with ExitStack() as stack:
        for folder in trained_folders(store):
            if (lease := take(store, f"{folder}/{LOCK}")) is None:
                busy.append(store.url(folder))
                continue
            stack.callback(lease.release)
            found += prunable_objects(store, folder, days)
        found += object_leftovers(store, _planned(profile, store))
        if apply:
            for removable in found:
                remove_object(store, removable)
    return found, busy


def _in_folder(store: Store, profile: Profile, days: float, apply: bool) -> tuple[list[Removable], list[Path]]:
    found, busy = [], []
    with ExitStack() as stack:
        root = Path(store.url(""))
        for name in trained_folders(store):  # The locks are held until all is done: no process starts in the meantime.
            folder = root / name
            if any((root / part).is_symlink() for part in (name, name.rpartition("/")[0])):
                continue
            if stack.enter_context(alone(folder / LOCK)):
                found += prunable(folder, days)
            else:
                busy.append(folder)
        found += shards_beyond(store, _planned(profile, store))
        elsewhere = (*busy, *(removable.path for removable in found))
        found += [left for left in leftovers(store) if not any(left.path.is_relative_to(path) for path in elsewhere)]
        if apply:
            for removable in found:
                remove(removable)
    return found, busy


def _planned(profile: Profile, store: Store) -> dict[str, list[str]]:
    """Folder of each stage of scenes, masks, maps and shards -> the shards that the profile plans."""
    from pipelines.factory import Factory

    factory = Factory(profile, store)
    return {stage.name: list(stage.shards()) for dataset in factory.datasets for stage in dataset.stages}


def _dagster(days: float, apply: bool) -> list[Removable] | None:
    """Old runs of the instance; None where there is none."""
    home = Path(os.environ.get("DAGSTER_HOME") or (CHECKOUT or Path.cwd()) / "data" / "dagster")
    if not (home / "dagster.yaml").is_file():
        return None
    import dagster as dg

    from assets_defs.automation.prune import old_runs, remove_run

    with dg.DagsterInstance.from_config(str(home)) as instance:
        found = old_runs(instance, days)
        if apply:
            for run_id, removable in found.items():
                remove_run(instance, run_id, removable)
    return list(found.values())


def _shown(path: Path | str) -> str:
    return path if isinstance(path, str) else os.path.relpath(path)


def command(
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files are.")] = None,
    days: Annotated[float, typer.Option(min=0.0, help="Days after which runs that nothing needs are removed.")] = DAYS,
    apply: Annotated[bool, typer.Option("--apply", help="Remove what is listed; without this, only list it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """List old runs, spare checkpoints and temp files with their bytes, and with --apply remove them.

    Never touched: the export in use and its run, the best and the last checkpoint, champions, what a process works on,
    and Dagster runs that made the current data (DAGSTER_HOME names the instance).
    """
    import json

    found = prune(load_profile(profile, root), days, apply)
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    for removable in found.removables:
        size = f"{removable.num_bytes / 1e6:10.2f} MB"
        print(f"{size}  {removable.kind}: {_shown(removable.path)} ({removable.why})")
    for path in found.busy:
        print(f"left alone, because a process trains there: {path}")
    if not found.looked_at_dagster:
        print("no Dagster instance in DAGSTER_HOME or data/dagster: its runs were not examined")
    outcome = "removed" if apply else "can be removed with --apply"
    print(f"{len(found.removables)} things, {found.num_bytes / 1e6:.2f} MB {outcome}")
