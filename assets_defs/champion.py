"""The last asset: the adapter in use, which the gate promotes or refuses."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from assets_defs.asset import asset
from assets_defs.evaluation import GROUP, trained_identity
from assets_defs.metadata import check, check_spec, nothing_to_do, readable, table
from assets_defs.plan import Plan
from assets_defs.training import POOL
from evaluation.commands import ADAPTER, REPORT
from evaluation.gate.history import FOLDER, HISTORY, Event, read_history
from evaluation.gate.verdict import champion_is_whole, decided_for_a_reason, demand_rows, verdict
from pipelines import checks
from pipelines.commercial import weights_obstacles
from pipelines.factory import HELD_OUT
from pipelines.library.leaks import find_leaks, shown_assets
from training.run import start_folder

if TYPE_CHECKING:
    from evaluation.gate.decide import Candidate, Rescore

CHECKS: dict[str, Callable[..., checks.CheckResult]] = {
    "decided_for_a_reason": decided_for_a_reason,
    "champion_is_whole": champion_is_whole,
}


def champion_asset(plan: Plan) -> dg.AssetsDefinition:
    """The asset `champion`."""
    store, profile = plan.factory.store, plan.profile

    @asset(
        deps=["adapter", "evaluation"],
        group_name=GROUP,
        owners=["team:models"],
        kinds={"pytorch", "json"},
        pool=POOL,
        check_specs=[check_spec("champion", name, function) for name, function in CHECKS.items()],
        description="The adapter in use. A new one takes its place only if it is better than the base and than the "
        "champion on the chosen metric, by more than another training seed gives, and not worse on the others by "
        "their margins, on the same list, with no output missing, no picture in both splits and no licence that "
        "forbids it; otherwise, and if too few photographs or origins leave it open, the champion stays. Each decision "
        "is recorded with its reasons, fingerprints and the weights' hash; `decoupage champion rollback` goes back.",
    )
    def champion() -> dg.MaterializeResult:
        """Records a decision. Raises BadSetup: these very weights have no scores, or another process decides."""
        from evaluation.gate.decide import decide  # Knows every metric, and OpenCV with them.

        asked = (_candidate(plan), profile.evaluation, _leaks(plan), _forbidden(plan), _rescorer(plan), profile.name)
        known = read_history(store)
        event = decide(store, *asked, _start(plan))
        forced_by = "train other weights or change evaluation.gate: the same question gets the same answer"
        unchanged = nothing_to_do(forced_by) if event in known else {}
        results = (decided_for_a_reason(event), champion_is_whole(store))
        candidate = event.details["candidate"]
        return dg.MaterializeResult(
            metadata=unchanged
            | {
                "verdict": dg.MetadataValue.text(verdict(event)),
                "demands": _demands(event),
                "champion": event.champion or "none",
                "decision": event.kind,
                "decided_at": event.at,
                "weights_sha256": candidate["weights_sha256"],
                "list_sha256": event.details["list_sha256"],
                "images": event.details["num_images"],
                "fingerprints": readable(candidate["identity"]),
                "record": dg.MetadataValue.path(f"{store.url(HISTORY)}/{event.number:06d}.json"),
                "dagster/uri": store.url(FOLDER),
            },
            data_version=dg.DataVersion(event.champion or "none"),
            check_results=[check(name, result) for name, result in zip(CHECKS, results, strict=True)],
        )

    return champion


def _candidate(plan: Plan) -> "Candidate":
    from evaluation.gate.decide import Candidate
    from evaluation.methods.models import adapter_facts  # torch comes with it.

    store = plan.factory.store
    adapter = store.url(ADAPTER)
    identity = trained_identity(store, ADAPTER.rpartition("/")[0])
    return Candidate(adapter, REPORT, adapter_facts(adapter), identity)


def _start(plan: Plan) -> "Candidate | None":
    """The published adapter from which training starts."""
    from evaluation.gate.decide import Candidate
    from evaluation.methods.models import adapter_facts  # torch comes with it.

    folder = start_folder(plan.profile.training.start or None)
    return None if folder is None else Candidate(folder, "", adapter_facts(folder), {})


def _forbidden(plan: Plan) -> list[str]:
    """What in the adapter's licences keeps a commercial profile from publishing it."""
    from evaluation.methods.models import adapter_licences  # torch comes with it.

    stated = adapter_licences(plan.factory.store.url(ADAPTER))
    return weights_obstacles(stated, plan.profile.licences.commercial)


def _leaks(plan: Plan) -> checks.CheckResult:
    """The check for leaks once more, because takedowns and lists may have changed since the dataset was made."""
    factory = plan.factory
    shown = (shown_assets(factory.store, stage.name) for stage in (factory.shards, factory.held_out.shards))
    return checks.no_leak(find_leaks(factory.store, factory.photographs, plan.profile.library, *shown))


def _rescorer(plan: Plan) -> "Rescore":
    config, base = plan.profile.evaluation, plan.profile.training.base or None

    def again(adapter: str) -> dict[str, bytes]:
        from evaluation.gate.rescore import rescore
        from evaluation.test_sets.shards import HeldOut

        test_set = HeldOut(plan.factory.store.url(HELD_OUT), config.max_images)
        return rescore(adapter, test_set, config, base, plan.factory.store)

    return again


def _demands(event: Event) -> dg.MetadataValue:
    rows = demand_rows(event) or [{"metric": "none was examined", "met": "-"}]
    # Counts are the same in every row and in the verdict, and the page has no room for more columns.
    rows = [{name: cell for name, cell in row.items() if name != "of"} for row in rows]
    return table(rows, dict.fromkeys(rows[0], "string"))
