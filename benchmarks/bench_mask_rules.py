"""Which mask each half of the sequence should take where a picture is scaled down: short trainings, judged as used.

    python benchmarks/bench_mask_rules.py --data data/demo --out /tmp/rules [--steps 500] [--seed 0] [hole-kept ...]

Needs a finished `make demo`: its shards, held-out scenes and RGBA VAE. For each pair of rules (`touched-half`, ...; see
`decoupage.images.sizes.MaskRule`) an adapter is trained by the demo's recipe, and takes every held-out scene apart at
the scene's own size. Prints one JSON object per pair.
"""

import argparse
import json
from pathlib import Path

import numpy as np

METRICS = (
    ("background", "psnr_mask"),
    ("background", "psnr_whole_pasted"),
    ("foreground", "soft_iou"),
    ("foreground", "alpha_sad"),
    ("foreground", "soft_iou_hidden"),
    ("recomposition", "psnr_whole_pasted"),
)


def main() -> None:
    """Train and judge each pair of rules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*", default=["half-half", "touched-half", "touched-touched", "touched-covered"])
    parser.add_argument("--data", type=Path, required=True, help="root of a finished demo")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for pair in arguments.rules:
        found = measure(
            pair, arguments.data, arguments.out / f"{pair}-{arguments.seed}", arguments.steps, arguments.seed
        )
        print(json.dumps({"rules": pair, "steps": arguments.steps, "seed": arguments.seed, **found}), flush=True)


def measure(pair: str, data: Path, out: Path, steps: int, seed: int) -> dict[str, float]:
    """Mean of each metric over the held-out scenes."""
    from decoupage import LayerDecompositionPipeline, preparation
    from evaluation.methods.models import PipelineMethod
    from evaluation.metrics.score import score
    from evaluation.test_sets.shards import HeldOut
    from profiles.profile import load_profile
    from training.run import RunPlan, train

    preparation.HOLE_RULE, preparation.KEPT_RULE = pair.split("-")
    # Workers would start with the rules of the module.
    changes = {"schedule.num_steps": steps, "seed": seed, "output.sample_every_steps": 0, "compute.loader_workers": 0}
    if not (out / "export").is_dir():
        rgba_vae, masks = str(data / "training/rgba_vae/export"), load_profile("demo", str(data)).masks
        train(RunPlan("demo", out, (str(data),), None, rgba_vae, masks, changes, device="cpu"))
    pipe = LayerDecompositionPipeline.from_pretrained(str(out / "export"))
    steps_used = pipe.adapter.num_inference_steps
    method = PipelineMethod("adapter", pipe, ["background", "foreground"], steps_used, seed=0)
    scores = [score(case, method([case])[0]) for case in HeldOut(str(data / "held_out")).cases()]
    return {
        f"{part}.{metric}": round(float(np.nanmean([found.get((part, metric), np.nan) for found in scores])), 4)
        for part, metric in METRICS
    }


if __name__ == "__main__":
    main()
