"""Removal of old runs from Dagster's own records, whose events and logs would grow without end.

A run that made what the UI shows now stays, however old it is: without its events Dagster would count its assets as
missing.
"""

import time
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from pipelines.stages.leftovers import Removable, freed_bytes

DAY_S = 86_400.0


def old_runs(instance: dg.DagsterInstance, days: float) -> dict[str, Removable]:
    """Finished runs, by id, that ended more than `days` days ago and made nothing that is current."""
    records = instance.get_run_records(dg.RunsFilter(statuses=FINISHED_STATUSES))
    before_s = time.time() - days * DAY_S
    old = {record.dagster_run.run_id for record in records if (record.end_time or 0.0) < before_s}
    kept = _current(instance) if old else set()
    return {run_id: _removable(instance, run_id) for run_id in sorted(old - kept)}


def remove_run(instance: dg.DagsterInstance, run_id: str, removable: Removable) -> None:
    """Remove a run's events and logs."""
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    if removable.path.is_file():  # SQLite keeps a file for each run, and only empties it.
        removable.path.unlink()


def _current(instance: dg.DagsterInstance) -> set[str]:
    """Ids of the runs that made the newest materialization of an asset or of a partition."""
    found = set()
    for key in instance.all_asset_keys():
        event = instance.get_latest_materialization_event(key)
        if event is not None:
            found.add(event.run_id)
        storage = instance.event_log_storage
        ids = storage.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION).values()
        chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=list(ids))
        records = instance.fetch_materializations(chosen, limit=max(1, len(ids))).records if ids else []
        found |= {record.run_id for record in records}
    return found


def _removable(instance: dg.DagsterInstance, run_id: str) -> Removable:
    home = Path(instance.root_directory)
    events, logs = home / "history" / "runs" / f"{run_id}.db", home / "storage" / run_id
    size = sum(freed_bytes(path) for path in (events, logs) if path.exists())
    return Removable(events, "Dagster run", "old, and nothing that it made is current", size)
