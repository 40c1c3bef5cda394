"""Training in two processes: started by torchrun, and by Ray Train on a Ray of this machine's own.

    python benchmarks/bench_ray_training.py [--steps 30] [--rounds 2] [--json]

The demo's recipe on a few scenes of its packaged sources, batches of eight in all, one thread a process, the launchers
in turns. Seconds a step are medians without the first five steps; `wall_s` is the whole run with its start.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from pipelines.factory import Factory
from pipelines.stages.store import Store
from profiles.profile import load_profile
from training.launcher import read_plan, write_plan
from training.run import RunPlan, train, train_current

LAUNCHERS = ("torchrun", "ray")
NUM_PROCESSES, WARM_UP_STEPS, SCENES = 2, 5, 24


def make_plan(folder: Path, num_steps: int) -> RunPlan:
    """The demo's training on a few scenes, with an RGBA VAE that was trained for a moment."""
    overrides = {"scenes.num_scenes": str(SCENES), "scenes.scenes_per_shard": str(SCENES), "engine.kind": "serial"}
    profile = load_profile("demo", str(folder), overrides)
    Factory(profile, Store(profile.root)).make_shards()
    data, short = (str(folder),), {"schedule.num_steps": 4, "schedule.warmup_steps": 1}
    train(RunPlan("small_rgba_vae", folder / "vae", data, changes=short, device="cpu"))
    changes = {
        "schedule.num_steps": num_steps,
        "schedule.warmup_steps": 1,
        "data.num_validation": 0,
        "batch.micro_batch": 4,
        "batch.accumulation": NUM_PROCESSES,
    }
    vae = str(folder / "vae" / "export")
    return RunPlan("demo", folder, data, None, vae, profile.masks, changes, start="shipped", device="cpu")


def timed(plan: RunPlan, launcher: str) -> dict[str, float]:
    """Seconds of a step, and of the whole run with its start."""
    path = write_plan(plan, plan.out / "plan.json")
    line = [__file__, "--carry-out", str(path)]
    if launcher == "torchrun":
        line = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={NUM_PROCESSES}", *line]
    else:
        line.append("--ray")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *line], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{launcher}: {done.stderr[-6000:]}")
    wall_s = time.perf_counter() - started_s
    (metrics,) = plan.out.rglob("metrics.jsonl")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps_s = [line["step_s"] for line in lines if "step_s" in line][WARM_UP_STEPS:]
    return {"step_s": round(statistics.median(steps_s), 3), "wall_s": round(wall_s, 1)}


def carry_out(path: str, *, on_ray: bool) -> None:
    """What the launched process does."""
    plan = read_plan(path)
    if on_ray:
        from training.on_ray import train_on_ray

        train_on_ray(plan, NUM_PROCESSES)
    else:
        train_current(plan)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--carry-out", help=argparse.SUPPRESS)
    parser.add_argument("--ray", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.carry_out:
        carry_out(options.carry_out, on_ray=options.ray)
        return
    found: dict[str, list[dict[str, float]]] = {launcher: [] for launcher in LAUNCHERS}
    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(Path(folder), options.steps)
        for number in range(options.rounds):
            for launcher in LAUNCHERS:
                out = Path(folder, f"{launcher}-{number}")
                found[launcher].append(timed(replace(plan, out=out, num_processes=NUM_PROCESSES), launcher))
    if options.json:
        print(json.dumps(found))
        return
    for launcher, rounds in found.items():
        print(launcher, *(f"{each['step_s']} s a step, {each['wall_s']} s in all;" for each in rounds))


if __name__ == "__main__":
    main()
