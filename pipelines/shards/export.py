"""Exports shards as plain folders of PNG files, one folder a triplet, for people and for other tools."""

import json
import shutil
from pathlib import Path
from typing import Any

from decoupage.images.codecs import encode_mask, encode_png
from pipelines.shards.reader import Triplet, read_triplets


def export_folder(path: str, out: str) -> int:
    """Write each triplet to `OUT/<key>-<layer>/`; returns how many.

    Files: `composite.png`, `background.png`, `mask.png`, `foreground.png` (RGBA on the whole canvas) and
    `sample.json`. A sample's folder appears whole; one that is there is replaced.

    Args:
        path: of a dataset's root, of a folder of shards, or of one `.tar`.
        out: a local folder; made when absent.

    Raises:
        BadSetup, BadItem: as `read_triplets`.
    """
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    num_samples = 0
    for triplet in read_triplets(path):
        _write_sample(target / f"{triplet.key}-{triplet.layer}", triplet)
        num_samples += 1
    return num_samples


def _write_sample(folder: Path, triplet: Triplet) -> None:
    # What a killed run left under these two names is removed here; their names depend on the sample only.
    temp, old = (folder.with_name(f".{folder.name}.{state}.tmp") for state in ("new", "old"))
    for leftover in (temp, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    temp.mkdir()
    (temp / "composite.png").write_bytes(encode_png(triplet.composite))
    (temp / "background.png").write_bytes(encode_png(triplet.background))
    (temp / "mask.png").write_bytes(encode_mask(triplet.mask))
    (temp / "foreground.png").write_bytes(encode_png(triplet.foreground))
    (temp / "sample.json").write_text(json.dumps(sample_record(triplet), indent=1, ensure_ascii=False) + "\n")
    if folder.exists():
        folder.replace(old)
    temp.replace(folder)
    if old.exists():
        shutil.rmtree(old)


def sample_record(triplet: Triplet) -> dict[str, Any]:
    """The scene's json with the target's entry under `target`, and its place among the layers."""
    record = {name: value for name, value in triplet.record.items() if name != "layers"}
    layers = triplet.record["layers"]
    return {**record, "layer": triplet.layer, "num_layers": len(layers), "target": layers[triplet.layer]}
