"""Masks drawn to outlines against masks as given, on scenes of training.

python benchmarks/bench_grabcut.py data/small_fill/shards [--images 260]
"""

import argparse
import json
import time
from itertools import islice

import numpy as np

from decoupage.images.grabcut import refined_mask
from decoupage.images.types import Mask
from evaluation.metrics.cutouts import soft_iou
from evaluation.test_sets.shards import HeldOut


def iou(found: Mask, truth: Mask) -> float:
    """Of two masks."""
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def main(shards: str, num_images: int) -> None:
    """Print the figures."""
    cases = [case for case in islice(HeldOut(shards).cases(), num_images) if case.visible.any()]
    started = time.process_time()
    drawn = [refined_mask(case.composite, case.mask) for case in cases]
    seconds = time.process_time() - started
    exact = [refined_mask(case.composite, case.visible) for case in cases]

    def mean(masks: list[Mask]) -> dict[str, float]:
        pairs = list(zip(masks, cases, strict=True))
        whole = [soft_iou(mask.astype(np.uint8) * 255, case.foreground[..., 3]) for mask, case in pairs]  # type: ignore[index]
        shown = [iou(mask, case.visible) for mask, case in pairs]
        return {"visible_iou": round(float(np.mean(shown)), 3), "soft_iou_whole": round(float(np.mean(whole)), 3)}

    figures = {
        "images": len(cases),
        "given": mean([case.mask for case in cases]),
        "drawn": mean(drawn),
        "drawn_from_exact": mean(exact),
        "changed_share": round(float(np.mean([m is not case.mask for m, case in zip(drawn, cases, strict=True)])), 2),
        "cpu_ms": round(1000 * seconds / len(cases), 1),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards")
    parser.add_argument("--images", type=int, default=260)
    arguments = parser.parse_args()
    main(arguments.shards, arguments.images)
