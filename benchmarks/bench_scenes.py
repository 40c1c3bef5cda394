"""How fast scenes are made, on one core and on all, and what the shards cost.

    python benchmarks/bench_scenes.py [--size-px 1024] [--scenes 32] [--json]

Uses the demo's packaged sources, so it runs anywhere; CPU seconds are steadier than wall seconds on shared machines.
"""

import argparse
import json
import os
import tempfile
import time
from typing import Any

from pipelines.factory import Factory
from pipelines.stages.engine import ProcessEngine, SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from profiles.profile import load_profile


def measure(size_px: int, num_scenes: int) -> dict[str, Any]:
    """Figures by name, with their units."""
    overrides = {
        "scenes.size_px": str(size_px),
        "scenes.num_scenes": str(num_scenes),
        "scenes.scenes_per_shard": str(num_scenes),
        "engine.kind": "serial",
    }
    # A 512 px photograph must be enlarged to fill larger scenes; the work for a scene is the same.
    overrides |= {"scenes.size.max_enlargement": "4.0", "scenes.max_background_enlargement": "4.0"}
    with tempfile.TemporaryDirectory() as folder:
        factory = Factory(load_profile("demo", folder, overrides), Store(folder))
        factory.make_shards()
        figures: dict[str, Any] = {"size_px": size_px, "num_scenes": num_scenes, "cores": len(os.sched_getaffinity(0))}
        # Everything is warm now: imports, library, caches of the file system.
        for stage in (factory.scenes, factory.masks, *factory.maps.values(), factory.shards):
            factory.store.remove(stage.name)
            started, cpu_started = time.perf_counter(), time.process_time()
            report = run_stage(stage, factory.store, SerialEngine())
            figures[f"{stage.name}_cpu_ms_per_scene"] = 1000 * (time.process_time() - cpu_started) / report.num_items
            figures[f"{stage.name}_wall_ms_per_scene"] = 1000 * (time.perf_counter() - started) / report.num_items
            figures[f"{stage.name}_kb_per_scene"] = report.num_bytes / report.num_items / 1000
        figures["scenes_per_cpu_s"] = 1000 / figures["scenes_cpu_ms_per_scene"]
        again = run_stage(factory.scenes, factory.store, SerialEngine())
        figures["attempts_per_scene"] = again.counts["attempts"] / again.num_items
        factory.store.remove(factory.scenes.name)
        started = time.perf_counter()
        run_stage(factory.scenes, factory.store, ProcessEngine(figures["cores"]))
        figures["scenes_wall_s_on_all_cores_with_start"] = time.perf_counter() - started
    return {name: round(value, 3) for name, value in figures.items()}


def main() -> None:
    """Print the figures, one per line or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-px", type=int, default=1024)
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.size_px, arguments.scenes)
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name:32} {figures[name]}" for name in figures))


if __name__ == "__main__":
    main()
