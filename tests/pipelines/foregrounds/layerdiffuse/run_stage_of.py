"""Paints a stage of tiny weights, as a program that a test can kill: python -m ... WEIGHTS ROOT NUM_STEPS."""

import sys
from pathlib import Path

from pipelines.config import GateConfig
from pipelines.foregrounds.generated_stage import GeneratedForegrounds
from pipelines.stages.engine import ProcessEngine
from pipelines.stages.run import Report, run_stage
from pipelines.stages.store import Store
from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import config

VEIL = GateConfig(
    min_side_px=8, min_area_px=16, coverage=(0.0, 1.0), max_cut_share=1.0, max_island_share=1.0, max_haze_share=1.0
)
"""Gates that a veil of noise passes."""


def run(weights: Path, root: Path, family: str = "sdxl", gates: GateConfig = VEIL, **changes: object) -> Report:
    store = Store(str(root))
    stage = GeneratedForegrounds(config(weights, family, **changes), gates, store=store)
    # The weights stay in this process, whatever the engine.
    return run_stage(stage, store, ProcessEngine(2))


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), images_per_prompt=2, batch_size=2, num_steps=int(sys.argv[3]))
