"""What `make demo` prints at its end: what was made, where it lies, what stands in for what; or what failed."""

import dagster as dg

from pipelines.dataset.build import write_dataset
from pipelines.dataset.stand_ins import stand_ins
from pipelines.store import Store
from profiles import Profile


def summary(profile: Profile, seconds: float) -> str:
    """A few lines over the finished dataset."""
    store = Store(profile.root)
    statistics = write_dataset(store, profile.name, profile).statistics
    dropped = {f"{stage}: {reason}": num for stage, reasons in statistics.drops.items() for reason, num in reasons.items()}
    lines = [
        "",
        f"The {profile.name} dataset: {statistics.num_scenes} scenes, {statistics.num_layers} triplets in "
        f"{statistics.num_shards} shards, {statistics.num_bytes / 1e6:.1f} MB, verified, in {seconds:.0f} s.",
        f"  layers by kind    {_counts(statistics.foreground_kinds)}",
        f"  layers by level   {_counts({level: spread.num_layers for level, spread in statistics.occlusion.items()})}",
        f"  scenes by layers  {_counts(statistics.scenes_by_num_layers)}",
        f"  not used          {_counts(dropped) or 'nothing'}",
        "",
        f"  shards            {store.url('shards')}",
        f"  data card         {store.url('dataset/README.md')}",
        f"  pictures          {store.url('dataset/sheets')}",
        f"  libraries         {store.url('library')}",
        "",
        "Stand-ins in this profile:",
        *(f"  {used} for {real}" for used, real in stand_ins(profile).items()),
        "",
        "Look at every stage with pictures: make ui",
    ]
    return "\n".join(lines)


def failures(result: dg.ExecuteInProcessResult) -> str:
    """Which steps and checks failed, and why."""
    lines = ["The run failed."]
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            error = event.step_failure_data.error
            lines.append(f"  {event.step_key}: {(error.cause or error).message.strip()}")
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed:
            lines.append(f"  check {evaluation.asset_key.to_user_string()}.{evaluation.check_name}: {evaluation.description}")
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())
