"""What must hold of a recorded decision, as plain functions: read back from disk, not from who decided."""

from evaluation.gate.champions import adapter_folder
from evaluation.gate.history import CURRENT, Event, current_version, read_history
from pipelines.checks import CheckResult
from pipelines.stages.store import Store


def decided_for_a_reason(event: Event) -> CheckResult:
    """The adapter was promoted, with every demand met, or refused for stated reasons."""
    failed = [line["metric"] for line in event.details.get("lines", []) if not line["passed"]]
    figures = {"kind": event.kind, "champion": event.champion or "none", "number": event.number}
    if event.kind == "promoted" and not failed and event.champion != event.before:
        return CheckResult(True, f"promoted to {event.champion}: {'; '.join(event.reasons)}", figures)
    if event.kind == "refused" and any(event.reasons) and event.champion == event.before:
        return CheckResult(True, f"refused: {'; '.join(event.reasons)}", figures)
    return CheckResult(False, f"decision {event.number} ({event.kind}) does not follow from what it states", figures)


def champion_is_whole(store: Store) -> CheckResult:
    """The champion's files are those that were promoted, and the pointer names it."""
    from decoupage.publishing.folder import read_manifest  # Knows diffusers.

    version = current_version(read_history(store))
    if version is None:
        return CheckResult(not store.exists(CURRENT), "there is no champion yet", {})
    try:
        manifest = read_manifest(adapter_folder(store, version))
    except ValueError as error:
        return CheckResult(False, f"{version} is damaged: {error}", {"champion": version})
    return CheckResult(True, f"{version}: {len(manifest.files)} files are as promoted", {"champion": version})
