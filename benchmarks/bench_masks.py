"""Imperfect masks of finished scenes: how long one takes, and how far each kind of error goes.

    python benchmarks/bench_masks.py DATA [--profile paper] [--scenes 60] [--draws 3] [--sheet FILE.png]

DATA holds scenes (`decoupage scenes make` or `bench_real_material.py --out`). Prints one JSON object: CPU ms per mask,
and for each kind its number and the quantiles 10, 50 and 90 % of its area / the visible area and of its IoU. With
`--sheet` the first eight masks of each kind that has an area are drawn, over their composites.
"""

import argparse
import io
import json
import sys
import time
from collections import defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from decoupage.images.contact_sheet import Tile, contact_sheet
from decoupage.randomness import generator
from pipelines.masks.area_errors import AREA_ERRORS
from pipelines.masks.imperfect import ImperfectMask, imperfect_mask
from pipelines.scenes.parts import SceneParts
from pipelines.shards.reader import read_scenes
from profiles.profile import load_profile

QUANTILES = (0.1, 0.5, 0.9)
SHOWN = 8


def main() -> None:
    """Draw masks, print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--profile", default="paper", help="whose [masks] are drawn")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--draws", type=int, default=3, help="masks of each layer")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    config = load_profile(arguments.profile, None).masks
    drawn: dict[str, list[ImperfectMask]] = defaultdict(list)
    tiles: dict[str, list[Tile]] = defaultdict(list)
    seconds, size_px = 0.0, 0
    for key, members in islice(read_scenes(f"{arguments.data}/scenes"), arguments.scenes):
        parts = SceneParts.decode(key, members)
        size_px = parts.size[0]
        _ = parts.composite  # A loader has it anyway.
        for layer in range(len(parts.layers)):
            for i in range(arguments.draws):
                began_s = time.process_time()
                mask = imperfect_mask(parts, layer, config, generator(0, "bench", f"{key}/{layer}/{i}"))
                seconds += time.process_time() - began_s
                drawn[mask.error].append(mask)
                if mask.error in AREA_ERRORS and len(tiles[mask.error]) < SHOWN:
                    caption = f"{mask.error}: area x {mask.area_ratio:.2f}, IoU {mask.iou:.2f}"
                    tiles[mask.error].append(Tile(parts.composite, caption, mask.mask))
    masks = [mask for of_kind in drawn.values() for mask in of_kind]
    figures = {kind: _spread(of_kind) for kind, of_kind in sorted(drawn.items())} | {"all": _spread(masks)}
    print(json.dumps({"size_px": size_px, "cpu_ms_per_mask": round(1000 * seconds / len(masks), 3), **figures}))
    if arguments.sheet:
        shown = [tile for kind in AREA_ERRORS for tile in tiles[kind]]
        Image.open(io.BytesIO(contact_sheet(shown, SHOWN, 320, max_kb=None))).save(arguments.sheet)


def _spread(masks: list[ImperfectMask]) -> dict[str, Any]:
    found = {"area_ratio": [mask.area_ratio for mask in masks], "iou": [mask.iou for mask in masks]}
    return {"num": len(masks)} | {
        name: [round(float(q), 2) for q in np.quantile(values, QUANTILES)] for name, values in found.items()
    }


if __name__ == "__main__":
    main()
