"""How fast answers are scored: images per second and method, on one core and on all of them.

    python benchmarks/bench_scores.py [--images 32] [--size-px 1024] [--json]

Scenes of random ellipses; the method costs nothing and is wrong everywhere, so that every metric has work.
"""

import argparse
import json
import os
import tempfile
import time

import numpy as np

from benchmarks import synthetic
from evaluation.cases import Case
from evaluation.method import BACKGROUND, FOREGROUND, Layers
from evaluation.run import score_all
from evaluation.test_sets.shards import HeldOut


class Shifted:
    """The truth, a few pixels aside."""

    name, gives = "shifted", frozenset({BACKGROUND, FOREGROUND})

    def answer(self, case: Case) -> Layers:
        """See `Answered`."""
        return Layers(_aside(case.background), _aside(case.foreground))


def _aside(picture: np.ndarray | None) -> np.ndarray:
    assert picture is not None, "of these scenes the truth is known"
    return np.roll(picture, (3, 5), (0, 1))


def measure(num_images: int, size_px: int) -> dict[str, float]:
    """Figures by name, with their units."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as root:
        synthetic.build_dataset(root, synthetic.FakeScenes(num_images, num_images, size_px))
        cases = list(HeldOut(root, max_images=num_images).cases())
    score_all(cases[:2], [Shifted()])
    every = os.sched_getaffinity(0)
    for name, cores in (("one_core", {min(every)}), ("all_cores", every)):
        os.sched_setaffinity(0, cores)
        started = time.perf_counter()
        score_all(cases, [Shifted()])
        figures[f"{name}_images_per_s"] = len(cases) / (time.perf_counter() - started)
    figures["ratio"] = figures["all_cores_images_per_s"] / figures["one_core_images_per_s"]
    figures["cores"] = len(every)
    return {name: round(figure, 2) for name, figure in figures.items()}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size-px", type=int, default=1024)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.images, options.size_px)
    print(
        json.dumps(figures) if options.json else "\n".join(f"{name:28} {value:10}" for name, value in figures.items())
    )


if __name__ == "__main__":
    main()
