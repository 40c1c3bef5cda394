"""What `make demo` prints at its end: what was made, where it lies, what stands in for what; or what failed."""

import dagster as dg

from pipelines.dataset.build import write_dataset
from pipelines.dataset.stand_ins import stand_ins
from pipelines.dataset.statistics import num_layers
from pipelines.store import Store
from profiles import Profile


def summary(profile: Profile, seconds: float) -> str:
    """A few lines over the finished dataset."""
    store = Store(profile.root)
    statistics = write_dataset(store, profile.name, profile).statistics
    dropped = {f"{stage}: {why}": num for stage, reasons in statistics.drops.items() for why, num in reasons.items()}
    size = f"{statistics.num_shards} shards, {statistics.num_bytes / 1e6:.1f} MB"
    lines = [
        "",
        f"The {profile.name} dataset: {statistics.num_scenes} scenes, {statistics.num_layers} triplets in {size}.",
        f"Verified, in {seconds:.0f} s.",
        f"  layers by kind    {_counts(statistics.foreground_kinds)}",
        f"  layers by level   {_counts(num_layers(statistics.occlusion))}",
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
    lines += [
        f"  check {found.asset_key.to_user_string()}.{found.check_name}: {found.description}"
        for found in result.get_asset_check_evaluations()
        if not found.passed
    ]
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())
